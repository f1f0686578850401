"""Models for tests: scripted, slow, or failing."""

from __future__ import annotations

import asyncio


class Scripted:
    """Answers with what it was given, in order; an exception is raised. Keeps the prompts and options."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.prompts = []
        self.options = []

    async def generate(self, prompt, **options):
        self.prompts.append(prompt)
        self.options.append(options)
        await asyncio.sleep(0)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Echo:
    """Answers with what the user said last."""

    async def generate(self, prompt, **_options):
        await asyncio.sleep(0)
        said = [one["content"] for one in prompt if one["role"] == "user" and not one["content"].startswith("[")]
        return f"you said {said[-1]}"


class Stuck:
    """Never answers; says when it was asked and when it was given up."""

    def __init__(self):
        self.asked = asyncio.Event()
        self.given_up = False

    async def generate(self, _prompt, **_options):
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up = True
            raise
