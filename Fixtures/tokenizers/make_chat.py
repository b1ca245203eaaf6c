"""Writes chat/cases.json: templates in the manner of the model families and templates for single
features of Jinja, rendered by transformers.

Needs: transformers 5.23 and jinja2 3.1.6. The date of strftime_now is 2024-07-26.
"""

import datetime
import json
import os

import jinja2
import transformers.utils.chat_template_utils as chat

here = os.path.dirname(os.path.abspath(__file__))


class Day(datetime.datetime):
    @classmethod
    def now(cls, *arguments):
        return cls(2024, 7, 26)


chat.datetime = Day

conversations = {
    "short": [{"role": "user", "content": "Hi there"}],
    "system": [
        {"role": "system", "content": "  You are kind. \n"},
        {"role": "user", "content": "What's 1 < 2?\n"},
        {"role": "assistant", "content": " True & \"yes\" – 是的 "},
        {"role": "user", "content": "Thanks!"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nWelcome."},
    ],
    "tools": [
        {"role": "user", "content": "Weather in Zürich?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "abc123def", "type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2, "units": None, "exact": True, "x": 1.5}}}]},
        {"role": "tool", "name": "weather", "content": "{\"t\": 21.0}"},
        {"role": "assistant", "content": "It is 21 degrees."},
    ],
    "parts": [
        {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "a cat\r\nhere"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Nice cat. e\u0301"}]},
    ],
    "disorder": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}, {"role": "user", "content": "c"}],
    "empty": [],
}
tool = {"type": "function", "function": {"name": "weather", "description": "Get the weather", "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Zürich", "Bern"]}}, "required": ["city"]}}}
variables = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

families = {}

families["chatml"] = """{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

families["zephyr"] = """{% for message in messages %}
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
"""

families["llama2"] = """{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}{% else %}{% set rest = messages %}{% set system = false %}{% endif %}{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system != false %}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + m['content'] %}{% else %}{% set content = m['content'] %}{% endif %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif m['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""

families["llama3"] = """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""

families["llama3.1"] = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
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

{#- The system message comes first. #}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {{- "Given these functions, answer.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

families["mistral"] = """{%- if messages and messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
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
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + "}[/TOOL_RESULTS]" }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

families["qwen2.5"] = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

families["qwen3"] = """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.function.arguments | tojson }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

families["gemma"] = """{{ bos_token }}{% if messages and messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}"""

families["gemma3"] = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""

families["phi3"] = """{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"""

families["generation"] = """{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '<|assistant|>' }}
        {%- generation %}
        {{- message.content + '<|end|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- '<|' ~ message.role ~ '|>' ~ message.content ~ '<|end|>' }}
    {%- endif %}
{%- endfor %}"""

families["macros"] = """{%- macro render(content, prefix='', last=false) -%}
    {%- if content is string -%}
        {{- prefix ~ content -}}
    {%- elif content is none -%}
        {{- prefix -}}
    {%- else -%}
        {%- for item in content -%}
            {%- if item.type == 'text' %}{{ prefix ~ item.text }}{% else %}<{{ item.type | upper }}>{% endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if last %}!{% endif -%}
{%- endmacro -%}
{%- set roles = {'user': 'U', 'assistant': 'A', 'system': 'S'} -%}
{%- for m in messages -%}
    {%- if m.role not in roles %}{% continue %}{% endif -%}
    {{ roles[m.role] }}: {{ render(m.content, last=loop.last) }}
{% else -%}
nothing
{%- endfor -%}
{{ render('bye', '> ') }}"""

features = [
    # White space
    "a\n  {% if true %}\n b\n  {% endif %}\n c {% if true %} d {% endif %} \n  {# comment #}\n e\n",
    "a  {%- if true -%}  b  {%- endif -%}  c\n\n{{- 1 -}}\n\n d",
    "a\n  {%+ if true +%}\n b\n  {%+ endif %}\n c",
    "  {{ 1 }}\n  {% set x = 2 %}\n  {{ x }}\n\n",
    "{% raw %}{{ x }} {% if %}{% endraw %}\n{%- raw -%}  {{ y }}\n  {%- endraw %}!",
    "x\r\ny\rz{{ '\\r\\n' }}\n",
    "{#- a -#}  b  {#+ c +#}\n d",
    "{% if true %}{{ {'a': {'b': 1}}['a']['b'] }}{% endif %}",
    # Expressions
    "{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 1_000 }} {{ 1e3 }} {{ 1.50 }} {{ 1 / 3 }}",
    "{{ 'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1, 'x', none] ~ {'k': (1,)} }}",
    "{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 'ab' in 'cabd' }} {{ 2 not in [1, 2] }} {{ 'k' in {'k': 1} }} {{ not 1 in [2] }}",
    "{{ 'yes' if 1 else 'no' }} {{ 'yes' if 0 }}| {{ 1 if false else 2 if false else 3 }} {{ 0 or 'x' }} {{ '' and 1 }}|",
    "{{ 'abc'[0] }}{{ 'abc'[-1] }} {{ 'abcdef'[1:4] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[-3:] }} {{ [1,2,3,4][1::2] }} {{ [1,2,3][5:] }} {{ 'abc'[::2] }} {{ [1,2,3][:-1] }}",
    "{{ 'a' 'b' \"c\" }} {{ 'it\\'s' }} {{ \"q\\\"\\t|\\u00e9|\\x41|\\\\|\\d\" }}",
    "{{ (1, 2) }} {{ (1,) }} {{ () }} {{ [] }} {{ {} }} {{ ['a\\n', \"it's\", 'q\"', \"'\\\"\"] }} {{ 1.0 }} {{ 1e100 }} {{ 1e-7 }} {{ 123456789012345.5 }} {{ '\\u200b\\x00é\\u00a0😀' }}{{ ['\\u200b\\x00é\\u00a0😀'] }}",
    "{{ missing }}|{{ missing is defined }}|{{ messages[9] }}|{{ {'a': 1}.b }}|{{ missing | default('d') }}|{{ '' | default('d') }}|{{ '' | default('d', true) }}|{{ none | default('d') }}",
    "{{ 'x' * 3 }} {{ [1] * 2 }} {{ 2 * 'ab' }} {{ [1] + [2] }}",
    "{{ {'a': 1, 'b': 2}.items() | list }} {{ {'a': 1}.keys() | list }} {{ {'a': 1}.values() | list }} {{ {'a': 1}.get('a') }} {{ {'a': 1}.get('z') }} {{ {'a': 1}.get('z', 3) }} {{ {'items': 5}['items'] }}",
    "{% set d = dict(a=1, b='x') %}{{ d.a }}{{ d['b'] }} {{ d | length }} {{ d | tojson }}",
    "{{ range(3) | list }} {{ range(1, 7, 2) | list }} {{ range(3, 0, -1) | list }}",
    # Statements
    "{% for i in [1,2,3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}",
    "{% for i in [1,2,3,4] if i is even %}{{ i }}/{{ loop.length }} {% else %}none{% endfor %}{% for i in [] %}x{% else %}none{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}{% for c in 'héy' %}[{{ c }}]{% endfor %}{% for k in {'x': 1} %}{{ k }}{% endfor %}",
    "{% set x = 1 %}{% for i in [1,2] %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}",
    "{% set ns = namespace(x=0, l=[]) %}{% for i in [1,2,3] %}{% set ns.x = ns.x + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.x }} {{ ns.l }} {{ ns.nope is defined }}",
    "{% if true %}{% set y = 5 %}{% endif %}{{ y }}{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}",
    "{% set block %}\n hi {{ 1 + 1 }}\n{% endset %}[{{ block }}]{% set up | upper %}abc{% endset %}{{ up }}",
    "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% macro m(a, b=2, c=a) %}{{ a }}-{{ b }}-{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, c=9) }}{{ m(b=3, a=4) }}{{ m() }}{{ m('x') | upper }}",
    "{% set g = 'out' %}{% macro f() %}{{ g }}{% endmacro %}{% set g = 'later' %}{{ f() }}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}{% filter upper | replace('A', 'x') %}banana{% endfilter %}",
    "{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}{{ loop.index }};{% endfor %}{{ loop is defined }}",
    "{% for x in [1,2,3] %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for i in [1, 2] %}{% continue %}{% else %}none{% endfor %}{% for i in [1, 2] %}{% if i == 2 %}{% break %}{% endif %}{% else %}none{% endfor %}{% for i in [1] %}{% break %}{% else %}none{% endfor %}",
    "{{ '' | indent(2, true) }}|{{ '\\nb' | indent(2, true) }}|{{ 5 | round }}|{{ +1 }}{{ '\\101\\0' }}|{% for i in [1] %}{{ loop.x is defined }}{% endfor %}",
    "{{ +'a' }}",
    "{{ '\\u00' }}",
    "{{ [1][0 1] }}",
    # Filters
    "{{ '  x y ' | trim }}|{{ 'xxaxx' | trim('x') }}|{{ 'hello wORLD' | capitalize }}|{{ \"it's a-b (c) hello\" | title }}|{{ 'ABC' | lower }}|{{ 'straße' | upper }}|{{ [1,2,3] | length }}|{{ 'e\\u0301é' | length }}|{{ {'a':1} | count }}",
    "{{ [1, 2, 3] | join(', ') }}|{{ [1, 2] | join }}|{{ [{'a': 1}, {'a': 2}] | join('-', attribute='a') }}|{{ [3,1,2] | first }}|{{ 'xyz' | last }}|{{ [] | first }}|{{ 'a-b-c' | replace('-', '+') }}|{{ 'aaa' | replace('a', 'b', 2) }}|{{ 'ab' | replace('', '.') }}",
    "{{ {'a': [1, 2.5, none, true, 'é\"\\n</b>'], 'b': {}} | tojson }}|{{ {'b': 1, 'a': [1, {}]} | tojson(indent=2) }}|{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}|{{ 'é' | tojson(ensure_ascii=true) }}|{{ [1, {'a': 2}] | tojson(separators=(',', ':')) }}|{{ [] | tojson(indent=2) }}",
    "{{ '3' | int }} {{ 'x' | int(7) }} {{ 3.9 | int }} {{ '2.5' | float }} {{ -3 | abs }} {{ 2.5 | round }} {{ 2.4 | round(0, 'ceil') | int }} {{ 5 | string + 'x' }} {{ '3.7' | int }}",
    "{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ [3, 1, 2] | sort(reverse=true) }} {{ [{'n': 2}, {'n': 1}] | sort(attribute='n') }} {{ [1, 2] | reverse | list }} {{ 'abc' | reverse }} {{ [1, 1, 2, 'a', 'A'] | unique | list }} {{ [1, 2, 3] | sum }} {{ [4, 9, 2] | max }} {{ ['b', 'A'] | min }} {{ {'b': 1, 'a': 2} | dictsort }}",
    "{{ messages | map(attribute='role') | list }} {{ ['a', 'b'] | map('upper') | join }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | join(',') }} {{ [0, 1, 2, 3] | select('odd') | list }} {{ [0, 1, none] | reject | list }} {{ [1, 2, 3] | select('gt', 1) | list }} {{ messages | selectattr('tool_calls') | list | length }} {{ messages | map(attribute='nope', default='-') | list }}",
    "{{ 'a\\nb\\n\\nc' | indent(2) }}|{{ 'a\\nb' | indent(2, true) }}|{{ 'a\\n\\nb' | indent(1, blank=true) }}|{{ '<a href=\"x\">&' | e }}|{{ '<b>' | safe }}|{{ {'a': 1} | items | list }}|{{ 'abc' | list }}",
    # Tests and methods
    "{{ none is none }} {{ 1 is number }} {{ 1.0 is float }} {{ 1 is integer }} {{ true is integer }} {{ true is boolean }} {{ 'a' is string }} {{ {} is mapping }} {{ [] is iterable }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ [] is sequence }} {{ 1 is not none }} {{ false is false }} {{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ 4 is divisibleby(3) }} {{ 1 is in [1, 2] }} {{ 'a' is lower }} {{ 2 is ge 2 }} {{ none is sameas none }} {{ missing is undefined }} {{ range is callable }}",
    "{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a.b.c'.rsplit('.', 1) }} {{ '\\n x \\n'.strip() }}| {{ 'xxay'.lstrip('x') }} {{ 'ayy'.rstrip('y') }} {{ 'aXb'.upper() }} {{ 'aXb'.lower() }} {{ \"they're bill's\".title() }} {{ 'éCOLE fOO'.capitalize() }} {{ 'a-a'.replace('a', 'b') }} {{ 'aaa'.replace('a', 'b', 1) }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.find('z') }} {{ 'banana'.count('an') }} {{ ', '.join(['a', 'b']) }} {{ 'a\\nb\\n'.splitlines() }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ '12'.isdigit() }} {{ 'a=b=c'.partition('=') }} {{ 'ab1'.isalpha() }} {{ 'AB'.isupper() }}",
    "{{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ 'abc' is string and 'b' in 'abc' }} {{ 'e\\u0301' == '\\u00e9' }} {{ 'x' in 'e\\u0301x' }} {{ '\\u00e9' in 'e\\u0301' }} {{ 'a  b   c '.split(none, 1) }}",
    "{{ strftime_now('%Y-%m-%d %d %B %b %A %a %y %% %-d') }}",
    # Errors
    "{{ raise_exception('No: ' ~ 1) }}",
    "{{ missing.attribute }}",
    "{{ missing + 'x' }}",
    "{{ 'a' + 1 }}",
    "{{ none + 'a' }}",
    "{{ none.strip() }}",
    "{{ 'a' < 1 }}",
    "{% for x in 3 %}{% endfor %}",
    "{{ 1 / 0 }}",
    "{% if true %}",
    "{{ 1 + }}",
    "{% endif %}",
    "{{ 'abc }}",
    "{{ [1].append(2) }}",
    "{% set a, b = [1] %}",
    "{{ missing() }}",
    "{{ messages | nofilter }}",
    "{{ 1 is notest }}",
    "{% nonsense %}",
    "{{ undefined_value | tojson }}",
]


def render(template, **arguments):
    try:
        text, spans = chat.render_jinja_template([arguments.pop("messages")], chat_template=template, return_assistant_tokens_mask="generation %}" in template, **arguments)
    except Exception as error:
        return {"error": str(error) if type(error) is jinja2.exceptions.TemplateError else type(error).__name__}
    result = {"text": text[0]}
    if spans:
        result["generated"] = spans[0]
    return result


cases = []
for name, template in families.items():
    for conversation, messages in conversations.items():
        for prompt in (False, True):
            for tools in (None, [tool]) if conversation in ("tools", "short") else (None,):
                case = {"template": name, "conversation": conversation, "prompt": prompt, "tools": tools is not None}
                case.update(render(template, messages=messages, tools=tools, add_generation_prompt=prompt, **variables))
                cases.append(case)
feature_cases = []
for template in features:
    feature_cases.append({"template": template, **render(template, messages=conversations["tools"], **variables)})
with open(os.path.join(here, "chat", "cases.json"), "w") as file:
    json.dump({"variables": variables, "tool": tool, "conversations": conversations, "templates": families, "cases": cases, "features": feature_cases}, file, indent=0, ensure_ascii=False)
print(len(cases), len(feature_cases), [c["error"] for c in cases if "error" in c][:3])
