"""The benches of outside suites, where these are not installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

from benches.evaluation import suites


def test_a_suite_that_is_not_installed_is_named_and_the_page_stays(monkeypatch, capsys, tmp_path):
    def not_there(package):
        raise PackageNotFoundError(package)

    page = tmp_path / "suites.md"
    monkeypatch.setattr(suites, "version", not_there)
    monkeypatch.setattr(suites, "PAGE", page)
    assert suites.main() == 1
    assert not page.exists()
    assert "not installed: compaction-conformance-kit, retainkit" in capsys.readouterr().err
