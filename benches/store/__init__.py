"""What the stores cost, beside PING through the same client, the article's layout and other libraries."""
