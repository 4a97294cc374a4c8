"""Oracle of the tests on models' chat templates: transformers' rendering of each, and what of it the assistant writes.

    chat_model_fixtures.py FOLDER    (re)write FOLDER/chat_models.json, for the templates in FOLDER/templates
                                     (FOLDER: Tests/TokenizerTests/Data)

What is learned comes from transformers' own indices of `{% generation %}` marks. For other templates it is found by prefixes: an answer is
what the chat up to it has beyond the chat before it with a generation prompt. It is null where the whole chat does not begin like that.
"""
import json
import sys
from datetime import datetime as real_datetime
from pathlib import Path

import transformers.utils.chat_template_utils as utils


class Frozen(real_datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 5, 14, 7, 9)


utils.datetime = Frozen


def user(content):
    return {"role": "user", "content": content}


def answer(content, **more):
    return {"role": "assistant", "content": content, **more}


SYSTEM = {"role": "system", "content": "Systemic rules."}
TOOLS = [
    {"type": "function", "function": {"name": "get_time", "description": "Time — now", "parameters": {
        "type": "object", "properties": {
            "zone": {"type": "string", "enum": ["UTC", "CET"], "description": "Zone"},
            "count": {"type": "integer", "default": 3}, "list": {"type": "array", "items": {"type": "string"}}},
        "required": ["zone"]}}},
    {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {
        "type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}}]
CALL = {"id": "abc123def", "type": "function",
        "function": {"name": "get_time", "arguments": {"zone": "CET", "count": 2, "list": ["ä", "b"]}}}
RESULT = {"role": "tool", "tool_call_id": "abc123def", "name": "get_time", "content": "Resulting <b>14:07</b>"}

CHATS = {
    "prompt": ([user("Asked once?")], {"add_generation_prompt": True}),
    "system": ([SYSTEM, user("Asked once?"), answer("Answered one.")], {}),
    "turns": ([user("Asked \"once\" & <b>?"), answer(" Answered 一 👋 "), user("Asked twice?\nYes"), answer("Answered two.\n")], {}),
    "follow-up": ([SYSTEM, user("Asked once?"), answer("Answered one."), user("Asked twice?")], {"add_generation_prompt": True}),
    "reasoning": ([user("Asked once?"), answer("Answered one.", reasoning_content="Thought one"), user("Asked twice?"),
                   answer("Answered two.", reasoning_content="Thought two")], {}),
    "inline-reasoning": ([user("Asked once?"), answer("<think>\nThought one\n</think>\n\nAnswered one."), user("Asked twice?"),
                          answer("<think>\nThought two\n</think>\n\nAnswered two.")], {}),
    "no-thinking": ([user("Asked once?"), answer("Answered one."), user("Asked twice?")],
                    {"add_generation_prompt": True, "enable_thinking": False}),
    "tools": ([SYSTEM, user("Asked once?"), answer("", tool_calls=[CALL]), RESULT, answer("Answered two.")], {"tools": TOOLS}),
    "calls": ([user("Asked once?"), {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT, answer("Answered two."),
               user("Asked twice?")], {"tools": TOOLS, "add_generation_prompt": True}),
    "parts": ([user([{"type": "text", "text": "Asked once?"}]), answer([{"type": "text", "text": "Answered one."}])], {}),
    "assistant-first": ([answer("Answered one."), user("Asked once?"), answer("Answered two.")], {}),
    "two-answers": ([user("Asked once?"), answer("Answered one."), answer("Answered two.")], {}),
    "empty": ([user("Asked once?"), answer("")], {}),
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def render(template, messages, options):
    """The text, and the character ranges of generation marks; None where Jinja raises."""
    variables = {"tools": None, "documents": None, "add_generation_prompt": False} | TOKENS | options
    marks = "{% generation" in template or "{%- generation" in template
    try:
        if marks:
            compiled = utils._compile_jinja_template(template)
            return utils._render_with_assistant_indices(compiled, messages, **variables)
        return utils._compile_jinja_template(template).render(messages=messages, **variables), None
    except Exception:
        return None, None


def by_prefixes(template, messages, options, whole):
    learned = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before, _ = render(template, messages[:index], options | {"add_generation_prompt": True})
        after, _ = render(template, messages[:index + 1], options | {"add_generation_prompt": False})
        found = before is not None and after is not None and after.startswith(before) and whole.startswith(after)
        learned.append(after[len(before):] if found else None)
    return learned


def main(folder):
    folder = Path(folder)
    models = {}
    for path in sorted((folder / "templates").glob("*.jinja")):
        template = path.read_text()
        models[path.stem] = cases = {}
        for name, (messages, options) in CHATS.items():
            text, marks = render(template, messages, options)
            if text is None:
                cases[name] = None
            elif marks is not None:
                cases[name] = {"text": text, "marked": [text[start:end] for start, end in marks if start < end]}
            else:
                cases[name] = {"text": text, "learned": by_prefixes(template, messages, options, text)}
    chats = {name: {"messages": messages, "options": options} for name, (messages, options) in CHATS.items()}
    with open(folder / "chat_models.json", "w", newline="") as file:
        json.dump({"tokens": TOKENS, "chats": chats, "models": models}, file, ensure_ascii=False, indent=1)
    print(len(models), "templates,", sum(case is not None for cases in models.values() for case in cases.values()), "renderings")


main(sys.argv[1])
