"""Oracle of the chat template tests: Jinja as `transformers` sets it up.

    chat_template_fixtures.py FILE [MODEL.gguf]    (re)write the committed fixture, Tests/TokenizerTests/Data/chat_templates.json

Each case is a template, its variables and what comes out, null where Jinja raises. The templates are written for this
test: they use the constructs of the templates of Zephyr, Llama 2, 3 and 3.1, Mistral and Qwen 2, not their words.
"""
import json
import sys
from datetime import datetime as real_datetime

import transformers.utils.chat_template_utils as utils


class Frozen(real_datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 5, 14, 7, 9)


utils.datetime = Frozen

CHAT = [
    {"role": "system", "content": "  You are terse.\n"},
    {"role": "user", "content": "Say hi, \"quoted\" & <b>bold</b>."},
    {"role": "assistant", "content": " Hi! 你好 👋 "},
    {"role": "user", "content": "And?\nSecond line."},
]
TALK = CHAT[1:]
TOOLS = [{"type": "function", "function": {"name": "get_time", "description": "Time — now", "parameters": {
    "type": "object", "properties": {"zone": {"type": "string", "enum": ["UTC", "CET"]}}, "required": [], "x": 1.5, "y": None}}}]

MODELS = {
    # One line per turn, the generation prompt behind a test.
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
""",
    # The system message taken out first, roles checked to alternate, everything on one line.
    "llama2": "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set sys = messages[0]['content'] %}"
              "{% else %}{% set rest = messages %}{% set sys = false %}{% endif %}{% for m in rest %}"
              "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
              "{% if loop.index0 == 0 and sys != false %}{% set text = '<<SYS>>\\n' + sys + '\\n<</SYS>>\\n\\n' + m['content'] %}"
              "{% else %}{% set text = m['content'] %}{% endif %}{% if m['role'] == 'user' %}"
              "{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}{% elif m['role'] == 'assistant' %}"
              "{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    # Set inside of the loop, a filter over a sum, begin of text at the first turn only.
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start|>' + message['role']"
              " + '<|end|>\n\n'+ message['content'] | trim + '<|eot|>' %}{% if loop.index0 == 0 %}{% set content = bos_token"
              " + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|end|>\n\n' }}"
              "{% endif %}",
    # Defaults by `is not defined`, a date, tools as JSON, dashes everywhere.
    "llama31": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message comes out first -#}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start|>system<|end|>\\n\\n" }}
{{- "Today: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {{- "Tools:\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start|>' + message['role'] + '<|end|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}<|eot|>" }}
    {%- elif message.content is mapping or message.content is iterable %}
        {{- message.content | tojson }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant<|end|>\\n\\n' }}
{%- endif %}
""",
    # A namespace that counts, chained conditions over several lines, items and slices, break-free search backwards.
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.tool_calls is defined and message.tool_calls is not none) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
            {%- endfor %}
            {{- "][/TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("unknown role") }}
    {%- endif %}
{%- endfor %}
""",
    # loop.first over the messages' own list, a default system message, tools, previous and next items.
    "qwen2": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi and message.role == "user" and message.content is string and not(message.content.startswith('<r>') and message.content.endswith('</r>')) %}
        {%- set ns.multi = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last %}{{- '(after)' }}{%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' + content.strip('\\n') + '<|im_end|>\\n' }}
    {%- endif %}
    {%- if loop.previtem is defined and loop.previtem.role == message.role %}{{- '(again)' }}{%- endif %}
    {%- if loop.nextitem is not defined %}{{- '(last)' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
    # A macro with a default, and what the model wrote marked.
    "macro": """{% macro turn(role, content, end='<e>') -%}
<{{ role }}>{{ content }}{{ end }}
{%- endmacro %}
{% for m in messages %}
{% if m.role == 'assistant' %}{% generation %}{{ turn(m.role, m.content | trim, end='</s>') }}{% endgeneration %}
{% else %}{{ turn(m.role, content=m.content) }}
{% endif %}
{% endfor %}""",
}

# Whitespace control, scoping, operators, filters, tests and methods: one line each.
SNIPPETS = r"""
a {%- if true %} b {%+ if true %} c {% endif -%} d {% endif %} e
  {% if true %}  x{% endif %}  y
  {%+ if true %}  x{%+ endif +%}
z
{# gone #}   text {#- gone too -#}   end
  {# on its line #}
next
{% raw %}{{ not }} {% this %}{% endraw %} after
{%- raw -%}  {{ x }}  {%- endraw -%}  tail
{{ "a\nb\t\"q\" \\ \x41 \u00e9" }}{{ 'it''s' 'joined' }}
{{ 1 + 2 * 3 - 4 // 3 }} {{ 7 % 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** 3 ** 2 }} {{ 1.5 + 1 }} {{ 1e3 }} {{ 1_000 }}
{{ -2 | abs }} {{ (-2) | abs }} {{ 3.0 }} {{ 0.1 + 0.2 }} {{ 10 / 4 * 2 }}
{{ 1 ~ 2 ~ 'x' ~ none ~ true ~ 1.0 }} {{ 'ab' * 3 }} {{ 'a' + 'b' ~ 'c' }}
{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' < 'b' }} {{ 3 >= 3 }} {{ 'a' != 'b' }} {{ [1, 2] == [1, 2] }}
{{ not true or true and false }} {{ not (true or false) }} {{ '' or 'x' }} {{ 'a' and 'b' }} {{ 0 and 1 }} {{ none or [] }}
{{ 'a' in 'abc' }} {{ 'x' not in ['x'] }} {{ 'k' in {'k': 1} }} {{ 1 in [1, 2] }} {{ not 1 in [1] }}
{{ 'yes' if 1 else 'no' }} {{ 'yes' if 0 }}| {{ 'a' if 0 else 'b' if 0 else 'c' }}
{{ missing }}|{{ missing is defined }} {{ missing is undefined }} {{ missing | default('d') }} {{ '' | default('e', true) }} {{ missing or 'f' }} {{ missing == other }}
{{ missing.attribute }}
{{ missing + 1 }}
{{ none.x }}|{{ 'a'.nothing is defined }}
{{ messages[0].role }} {{ messages[-1]['content'] }} {{ messages[9] }}| {{ messages[0].nothing }}| {{ messages | length }}
{{ messages[1:3] | map(attribute='role') | join(', ') }} {{ messages[::-1] | map(attribute='role') | list | length }} {{ 'abcdef'[1:4] }} {{ 'abcdef'[::-2] }} {{ 'abc'[-1] }} {{ 'abc'[5:] }}|{{ [1,2,3][:-1] }}
{% for x in [1, 2, 3] %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ ',' if not loop.last }}{% endfor %} {% for x in [] %}x{% else %}none{% endfor %}
{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index0 }}{{ loop.first }}{{ loop.revindex }}{{ x }} {% endfor %}
{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %} {% for k in {'a': 1} %}{{ k }}{% endfor %} {% for c in 'añ' %}[{{ c }}]{% endfor %}
{% for x in [1,2,3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}{% for x in [1,2,3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in [1] %}{% for y in [1, 2] %}{{ loop.index }}{% endfor %}{{ loop.index }}{{ loop.cycle('a', 'b') }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(n=0, s='') %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }} {{ ns.s }}
{% if true %}{% set y = 'in if' %}{% endif %}{{ y }} {% set a, b = 1, 2 %}{{ a }}{{ b }} {% set t = (1, 2) %}{{ t[1] }} {% set block %}  text {{ a }} {% endset %}[{{ block }}] {% set f | trim | upper %} up {% endset %}[{{ f }}]
{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=4, a=5) }} {{ m() }} {{ m('x') | upper }}
{% macro r(n) %}{{ n }}{% if n > 0 %}{{ r(n - 1) }}{% endif %}{% endmacro %}{{ r(3) }}
{% set outer = 'o' %}{% macro m() %}{{ outer }}{% endmacro %}{% set outer = 'p' %}{{ m() }}{% for outer in ['q'] %}{{ m() }}{% endfor %}
{{ '  x y ' | trim }}|{{ 'xxabxx' | trim('x') }}|{{ 'aB ß' | upper }}|{{ 'İAB' | lower }}|{{ 'hello world' | title }}|{{ 'hELLO' | capitalize }}
{{ 'abc' | length }} {{ {'a': 1} | length }} {{ 'naïve 👍' | length }} {{ [3, 1, 2] | sort | join('-') }} {{ ['b', 'A', 'c'] | sort | join }} {{ [1, 2, 3] | first }}{{ [1, 2, 3] | last }} {{ 'abc' | reverse }} {{ [1, 2] | reverse | list }}
{{ 'a-b-c' | replace('-', '+') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'x\ny\n\nz' | indent }} {{ 'x\ny' | indent(2, true) }} {{ '<&">' | escape }} {{ 'a' | safe }}
{{ {'a': [1, 2.0, none, true, 'é"\n'], 'b': {}, 'c': []} | tojson }} {{ [] | tojson(indent=2) }} {{ {'b': 1, 'a': {'x': [1]}} | tojson(indent=2) }} {{ 'é' | tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ [1, {'a': 1}] | tojson(separators=(',', ':')) }}
{{ '12' | int + 1 }} {{ 'x' | int }} {{ '1.9' | int }} {{ 3.9 | int }} {{ '1.5' | float }} {{ 5 | string + 'a' }} {{ [1, 2] | string }} {{ {'a': 'b'} | string }} {{ ["it's", 'q"'] }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', 'equalto', 'user') | map(attribute='role') | join(',') }} {{ [1, 2, 3, 4] | select('odd') | list }} {{ [0, 1, ''] | select | list }} {{ [1, 2] | reject('eq', 1) | list }} {{ ['a', 'b'] | map('upper') | join }}
{{ 1 is number }} {{ 'a' is string }} {{ none is none }} {{ {} is mapping }} {{ [] is sequence }} {{ 'a' is iterable }} {{ true is boolean }} {{ 1 is integer }} {{ 1.0 is float }} {{ 4 is divisibleby 2 }} {{ 3 is odd }} {{ 1 is not none }} {{ x is none }} {{ 'a' is in ['a'] }} {{ true is true }} {{ 1 is true }} {{ 'abc' is lower }} {{ 2 is eq 2 }} {{ 2 is gt(1) }}
{{ ' a b '.split() }} {{ 'a,b,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a</t>b'.split('</t>')[-1] }} {{ 'ab'.startswith('a') }} {{ 'ab'.endswith('c') }} {{ 'xxa'.lstrip('x') }} {{ 'a\n'.rstrip('\n') }}| {{ 'a b'.title() }} {{ 'abcabc'.replace('b', 'X') }} {{ ','.join(['a', 'b']) }} {{ 'abc'.find('c') }} {{ 'aXa'.count('a') }} {{ '12'.isdigit() }} {{ 'a\nb'.splitlines() }} {{ 'Ab'.upper() }}{{ 'Ab'.lower() }}
{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 2) }} {{ {'a': 1, 'b': 2}.keys() | list }} {{ {'a': 1}.values() | list }} {{ ({'a': 1} | items | list)[0][1] }} {% for k, v in {'b': 1, 'A': 2} | dictsort %}{{ k }}{{ v }}{% endfor %} {{ dict(a=1, b='x') }}
{{ range(3) | list }} {{ range(1, 4) | list }} {{ range(4, 0, -2) | list }} {{ range(0) | list }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %B %b %A %a %j %I %p %y %%') }}
{{ raise_exception('no') }}
{{ messages | tojson }}
{% filter upper %}up {{ bos_token }}{% endfilter %} {{ (1, 'a') | length }} {{ [1, 2, ] }} {{ {'a': 1, } | length }}
{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role[0] }} {% endfor %}{{ "%d" }}
{{ 1 / 0 }}
{{ 'a' + 1 }}
{{ unknown_function() }}
{{ 'a' | unknown_filter }}
{{ messages[0].role | upper | lower | title ~ '!' }} {{ messages[0]['role'] is string and messages[0].role == 'system' }}
{{ ['a', 'b'] | join(', ') if messages is defined else '' }} {{ (messages | length) > 2 and 'many' or 'few' }}
{{ 'a{}b{}'.format(1, 'x') }} {{ '{0}-{1}-{0}'.format('a','b') }} {{ '{n}'.format(n=2) }} {{ '{{}}{}'.format(3) }} {{ '%s and %d' % ('a', 3) }} {{ '%s' % 'x' }} {{ '%s|%s' | format('a', 1) }}
{{ [3,1,2] | min }} {{ [3,1,2] | max }} {{ [3,1,2] | sum }} {{ [1.5,2]|sum }} {{ ['b','A']|min }} {{ messages | map(attribute='role') | max }} {{ [[1],[2]] | sum(start=[]) }} {{ 3.14159 | round(2) }} {{ 2.5|round|int }} {{ 'hello world' | wordcount }}
{{ ['a','A','b'] | unique | list }} {{ [1,1,2]|unique|join(',') }} {% for k, g in messages | groupby('role') %}{{ k }}:{{ g | length }};{% endfor %} {% for b in [1,2,3,4,5] | batch(2, 0) %}{{ b }}{% endfor %}{% for b in [1,2,3,4,5] | slice(2) %}{{ b }}{% endfor %}
{% macro m(a) %}<{{ caller() }}|{{ a }}>{% endmacro %}{% call m(1) %}body {{ bos_token }}{% endcall %} {% macro n() %}{% for i in [1,2] %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) n() %}[{{ i }}]{% endcall %}
{% macro m(a, b=1) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1,2]) }}{{ m(**{'a':3,'b':4}) }} {% with a=1, b=2 %}{{ a + b }}{% endwith %}{{ a is defined }} {% set ns = namespace(a=1) %}{% set ns.b, c = 1, 2 %}{{ ns.b }}{{ c }}
{{ {1: 'a', 'b': 2, none: 3}[1] }} {{ {1: 'a', 2: 'b'} }} {{ {2: 'x', none: 1} | tojson }} {{ 1 in {1: 2} }} {{ {1: 'a'}.get(1) }} {% for k, v in {1: 'a'}.items() %}{{ k + 1 }}{{ v }}{% endfor %}
{{ (1, 2) }} {{ (1,) }} {{ () }} {{ (1, 2) == [1, 2] }} {{ {'a': 1}.items() | list }} {{ {'b': 2, 'a': 1} | dictsort(reverse=true) }} {{ {'a':2,'b':1}|dictsort(false,'value') }}
{{ [[1,2],[3,4]] | map(attribute=0) | list }} {{ [[1,2],[3,4]] | map('first') | list }} {{ [{'a': {'b': 1}}] | map(attribute='a.b') | list }} {{ messages | sort(attribute='role', reverse=true) | map(attribute='role') | join }} {{ tools | selectattr('x') | list }}
{{ 'a,b,c'.partition(',') }} {{ 'a,b,c'.rpartition(',') }} {{ 'abcb'.index('c') }} {{ 'abcb'.rfind('b') }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ '-7'.zfill(4) }} {{ 'ab'.ljust(4) }}| {{ 'ab'.rjust(4, '*') }} {{ 'ab'.center(5) }}| {{ 'aB'.swapcase() }} {{ 'a1'.isalnum() }} {{ 'abc'.startswith(('x', 'ab')) }} {{ 'a b c'.split(none, 1) }} {{ 'a,b'.split(sep=',') }} {{ 'a\nb\n'.splitlines(true) }}
{{ 2 ** -1 }} {{ 2.0 ** 3 }} {{ [1] * 2 }} {{ 2 * 'ab' }} {{ [1,2] < [1,3] }} {% for a, (b, c) in [[1,[2,3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %} {% for i in range(3) %}{{ loop.changed(i // 2) }}{{ loop.depth }}{% endfor %} {{ 'ff' | int(0, 16) }} {{ '1_000' | int }} {{ "they're bill's foo-bar" | title }}
{% for t in tools %}{{ t }}{% endfor %}
{{ 'x'.ljust(4, 'ab') }}
"""


def render(template, variables):
    try:
        return utils._compile_jinja_template(template).render(**variables)
    except Exception:
        return None


def main(path, model=None):
    models = dict(MODELS)
    if model:
        from gguf import GGUFReader

        models["smollm2"] = GGUFReader(model).fields["tokenizer.chat_template"].contents()
    base = {"bos_token": "<s>", "eos_token": "</s>", "tools": None, "documents": None}
    calls = CHAT + [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": "ü", "b": [1]}}}]}]
    sets = {
        "chat": base | {"messages": CHAT, "add_generation_prompt": True},
        "talk": base | {"messages": TALK, "add_generation_prompt": False},
        "reply": base | {"messages": TALK[:2], "add_generation_prompt": True},
        "tools": base | {"messages": CHAT, "add_generation_prompt": True, "tools": TOOLS, "enable_thinking": False},
        "calls": base | {"messages": calls, "add_generation_prompt": False},
        "wrong": base | {"messages": [TALK[1], TALK[1]], "add_generation_prompt": False},
    }
    cases = [
        {"name": f"{name}-{kind}", "template": template, "variables": kind, "expected": render(template, variables)}
        for name, template in models.items() for kind, variables in sets.items()]
    snippets, lines = [], SNIPPETS.strip("\n").split("\n")
    while lines:
        snippet = lines.pop(0)
        # Cases of several lines begin where the next line starts with a space or holds no tag.
        while lines and ("{" not in lines[0] or lines[0].startswith("  ") and snippet.startswith("  {#")):
            snippet += "\n" + lines.pop(0)
        snippets.append(snippet)
    for index, snippet in enumerate(snippets):
        for ending, text in [("", snippet), ("-crlf", snippet.replace("\n", "\r\n") + "\r\n")]:
            if ending == "" or "\n" in snippet:
                cases.append({"name": f"snippet-{index}{ending}", "template": text, "variables": "chat",
                              "expected": render(text, sets["chat"])})
    with open(path, "w", newline="") as file:
        json.dump({"variables": sets, "cases": cases}, file, ensure_ascii=False, indent=1)
    print(len(cases), "cases,", sum(case["expected"] is None for case in cases), "raise")


main(*sys.argv[1:])
