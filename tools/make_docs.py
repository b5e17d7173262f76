"""Write the generated pages of docs/: python tools/make_docs.py [--check].

Conventions, parts, commands and families are described where they are written, in the code; these pages repeat that
for readers. With --check nothing is written: the stale pages are listed and the exit code is 1 if there are any.
"""

import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import io
import os
import pathlib
import pkgutil
import re
import sys
import textwrap

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
MARK = "<!-- written by tools/make_docs.py; change the code, then run `make docs` -->"
FOLDERS = ("conventions", "parts", "commands", "reference")
ALONE = ("families.md",)
"""Generated pages are all files of FOLDERS, and ALONE."""

MODELS = ("llama-3-8b", "mixtral-8x7b")
SEQ = 8192
PHASES = {"train": "training", "prefill": "prefill", "decode": "decode"}


def pages():
    """Every generated page: path under docs/ -> text."""
    made = convention_pages() | part_pages() | command_pages() | {"families.md": families_page()}
    return {path: tidy(text) for path, text in made.items()}


def stale(docs=DOCS):
    """Why each page that is not what the code says is stale; empty if all is well."""
    wanted = pages()
    there = {str(p.relative_to(docs)) for folder in FOLDERS for p in (docs / folder).glob("*.md")}
    found = dict.fromkeys(sorted(there - set(wanted)), "is not generated any more; remove it")
    for path, text in wanted.items():
        file = docs / path
        if not file.is_file():
            found[path] = "is missing"
        elif file.read_text(encoding="utf-8") != text:
            found[path] = "differs from what the code says"
    return found


def write(docs=DOCS):
    wanted = pages()
    for path in stale(docs):
        if path not in wanted:
            (docs / path).unlink()
            continue
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_text(wanted[path], encoding="utf-8")
        print(path)


def tidy(text):
    """No trailing blanks, no double blank lines, one newline at the end, and the mark on top."""
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return f"{MARK}\n\n" + re.sub(r"\n{3,}", "\n\n", lines) + "\n"


def table(head, rows):
    escaped = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *escaped])


def first_line(text):
    return (text or "").strip().partition("\n\n")[0].replace("\n", " ")


def prose(docstring):
    """A docstring as Markdown: columns and formulas are kept as they stand, the rest flows."""
    blocks = []
    for block in inspect.cleandoc(docstring or "").split("\n\n"):
        columns = any(re.search(r"\S {3,}\S", line) or line.startswith("    ") for line in block.splitlines())
        blocks.append(
            f"```text\n{textwrap.dedent(block)}\n```" if columns else block.replace("*", "\\*").replace("<", "&lt;")
        )
    return "\n\n".join(blocks)


# ---------------------------------------------------------------- conventions


def convention_pages():
    from flopsight.conventions.catalog import BUILT_IN

    made = {f"conventions/{one.name}.md": convention_page(one) for one in BUILT_IN}
    rows = [
        [f"[`{one.name}`](../conventions/{one.name}.md)", one.title, code(one.formula), ", ".join(one.phases)]
        + [value(one, model) for model in MODELS]
        for one in BUILT_IN
    ]
    head = ["name", "who", "FLOPs a token", "phases", *(f"{m}, GFLOP" for m in MODELS)]
    made["reference/conventions.md"] = f"""# Conventions

{len(BUILT_IN)} ways of counting the FLOPs of a token. `flopsight count` and `flopsight mfu` print all that fit the
phase; `flopsight mfu --convention NAME` puts one of them in the numerator. The two columns on the right are the same
token of {MODELS[0]} and {MODELS[1]} in a sequence of {SEQ:,}, in training where the convention is defined for it,
else in prefill.

{table(head, rows)}

Letters:

{letters()}

What a convention is: [utilization](../concepts/utilization.md). How to add one:
[CONTRIBUTING](../../CONTRIBUTING.md#a-convention).
"""
    return made


def code(text):
    return f"`{text}`" if text else ""


def letters():
    """The letters of the view, as its docstring and its properties give them."""
    from flopsight.conventions.view import View

    named = [line for line in inspect.cleandoc(View.__doc__).splitlines() if re.match(r"\w+ {2,}", line)]
    own = ["seq", "layers", "passes", "total", "active", "matmul"]
    return "```text\n" + "\n".join(named + [f"{p:<10} {getattr(View, p).__doc__}" for p in own]) + "\n```"


def look(convention, model):
    """The convention's view of a model at SEQ tokens, in training if it is defined there, else in prefill."""
    from flopsight.conventions.view import view
    from flopsight.models.ledger import ledger
    from flopsight.models.load import load
    from flopsight.workload import Workload

    phase = "train" if "train" in convention.phases else convention.phases[0]
    return view(ledger(load(model)), Workload(phase, 1, SEQ, logits="all"))


def value(convention, model):
    seen = look(convention, model)
    return f"{float(convention.per_token(seen)) / 1e9:,.2f}" if convention.applies(seen) else "does not apply"


def convention_page(one):
    from flopsight.conventions.catalog import convention

    ours, module = convention("exact"), inspect.getmodule(one.terms)
    facts = [
        ["FLOPs a token", code(one.formula)],
        ["source", one.source],
        ["phases", ", ".join(PHASES[p] for p in one.phases)],
        ["peak", f"{one.peak / 1e12:g} TFLOP/s a device, whatever the device" if one.peak else "the device's"],
    ]
    worked = []
    for model in MODELS:
        seen = look(one, model)
        if not one.applies(seen):
            worked.append([model, PHASES[seen.workload.phase], "does not apply", "", ""])
            continue
        ratio = float(one.per_token(seen) / ours.per_token(seen))
        worked.append(
            [model, PHASES[seen.workload.phase], f"{value(one, model)} GFLOP", f"{ratio:.4f}", gaps(seen, one, ours)]
        )
    return f"""# {one.title}

`--convention {one.name}`: {first_line(module.__doc__)}

{table(["", ""], facts)}

What it counts: {prose(one.terms.__doc__)}

{("Before comparing: " + one.note) if one.note else ""}

## A worked number

One token of a sequence of {SEQ:,}.

{table(["model", "phase", "a token", "of exact", "bridge: add to the exact count"], worked)}

All conventions and their letters: [reference](../reference/conventions.md). What is divided by what:
[utilization](../concepts/utilization.md).
"""


def gaps(seen, one, ours):
    from flopsight.conventions.convention import bridge

    told = [f"{name} {float(gap) / 1e9:+,.4g} G" for name, gap in bridge(seen, one, ours).items()]
    return ", ".join(told).replace("-", "−") or "nothing"


# ---------------------------------------------------------------- parts


def part_modules():
    import flopsight.parts

    return sorted(found.name for found in pkgutil.iter_modules(flopsight.parts.__path__))


def part_pages():
    made, rows = {}, []
    for name in part_modules():
        module = importlib.import_module(f"flopsight.parts.{name}")
        made[f"parts/{name}.md"] = part_page(name, module)
        rows.append([f"[`{name}`](../parts/{name}.md)", first_line(module.__doc__)])
    made["reference/parts.md"] = f"""# Parts

A part is one kind of work in a model: the tensors it stores, the operations it runs, the cache it keeps. Its cost is
written once as arithmetic on its dimensions; `flopsight count MODEL -v` prints it with the numbers put in.

{table(["module", "what it holds"], rows)}

B sequences, S queries, P cached tokens (or pairs under a mask, where the part says so), T = B·S tokens computed now.
A multiply-add is two FLOPs. How the phases use a part: [required and executed](../concepts/required-and-executed.md).
"""
    return made


def public(module):
    """Classes and functions of a module that belong to it, in the order of the file."""
    own = [
        thing
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__ and inspect.getdoc(thing)
    ]
    return [thing for thing in own if inspect.isclass(thing) or inspect.isfunction(thing)]


def part_page(name, module):
    sections = [part_section(thing) for thing in public(module)]
    return f"""# {name}

{prose(module.__doc__)}

{"".join(sections)}

Source: [`src/flopsight/parts/{name}.py`](../../src/flopsight/parts/{name}.py).
All parts: [reference](../reference/parts.md).
"""


def part_section(thing):
    lines = [f"\n## {thing.__name__}\n", prose(thing.__doc__)]
    if inspect.isfunction(thing):
        lines.insert(1, code(f"{thing.__name__}{inspect.signature(thing)}".replace("'", "")) + "\n")
        return "\n".join(lines) + "\n"
    if dataclasses.is_dataclass(thing) and dataclasses.fields(thing):
        marks = getattr(thing, "letters", {})
        fields = dataclasses.fields(thing)
        rows = [[code(f.name), marks.get(f.name, ""), str(f.type).replace("|", "or"), default(f)] for f in fields]
        lines += ["\n" + table(["field", "letter", "type", "default"], rows)]
    own = {n: m.fget if isinstance(m, property) else m for n, m in vars(thing).items() if not n.startswith("_")}
    methods = [
        [code(name), first_line(member.__doc__)]
        for name, member in own.items()
        if inspect.isfunction(member) and member.__doc__
    ]
    if methods:
        lines += ["\n" + table(["method", "gives"], methods)]
    return "\n".join(lines) + "\n"


def default(field):
    if field.default is not dataclasses.MISSING:
        return code(repr(field.default))
    return "" if field.default_factory is dataclasses.MISSING else code(f"{field.default_factory.__name__}()")


# ---------------------------------------------------------------- commands

EXAMPLES = {
    "count": (["count", "gpt3-175b", "--depth", "2"], 40),
    "mfu": (["mfu", "llama-3.1-8b", "--tokens-per-s", "24000", "--on", "8xH100-SXM", "--seq", "8192"], 20),
    "predict": (["predict", "llama-3.1-70b", "--on", "8xH100-SXM", "--phase", "decode", "--batch", "32"], 60),
    "plan": (["plan", "llama-3.1-8b", "--on", "h100-sxm:2", "--isl", "1000", "--osl", "200", "--slo", "tpot=15ms"], 60),
    "can": (["can", "dense:1T", "--on", "8xH100-SXM", "--tokens-per-s", "33.33"], 45),
    "hardware": (["hardware", "list", "--vendor", "AMD"], 40),
    "hardware list": (["hardware", "list", "--dtype", "fp8", "--vendor", "Google"], 40),
    "hardware show": (["hardware", "show", "nvlink4"], 12),
    "models": (["models"], 10),
    "schema": (["schema", "models"], 14),
}
"""Command -> an example and how many lines of its output are shown.

`hardware here` says something else on every machine, `validate` needs a folder of the reader's own.
"""

HARDWARE = ("list", "show", "here")


def commands():
    """The commands, without those whose module is still to come."""
    from flopsight.cli.main import COMMANDS

    return [name for name in COMMANDS if importlib.util.find_spec(f"flopsight.cli.{name}")]


def command_pages():
    made = {f"commands/{name}.md": command_page(name) for name in commands()}
    rows = [[f"[`flopsight {name}`](../commands/{name}.md)", summary(name)] for name in commands()]
    made["reference/commands.md"] = f"""# Commands

{table(["command", "what it does"], rows)}

Every command that answers takes `--json`, whose schema is `flopsight schema COMMAND`. Data goes to stdout, talk to
stderr; `NO_COLOR` is obeyed.

| exit code | meaning |
| --- | --- |
| 0 | ok |
| 1 | a check failed |
| 2 | usage: an option, a name or a combination is wrong |
| 3 | impossible or inconsistent data |
| 4 | a missing capability: an extra, a driver or the network |

```text
{printed(["--help"])}
```
"""
    return made


def summary(name):
    text = printed([name, "--help"]).split("\n\n")
    return " ".join(text[1].split())


def command_page(name):
    asked = [name, *(f"{name} {sub}" for sub in HARDWARE)] if name == "hardware" else [name]
    sections = []
    for command in asked:
        title = f"\n## flopsight {command}\n" if command != name else ""
        sections.append(f"{title}\n```text\n{printed([*command.split(), '--help'])}\n```\n\n")
        if command in EXAMPLES:
            argv, most = EXAMPLES[command]
            sections.append(f"```console\n$ flopsight {' '.join(argv)}\n{shortened(printed(argv), most)}\n```\n")
    return f"""# flopsight {name}

{summary(name)}

{"".join(sections)}

All commands: [reference](../reference/commands.md).
"""


def shortened(text, most):
    """The first lines, and a line of dots that says how many were left out."""
    lines = text.splitlines()
    return text if len(lines) <= most + 1 else "\n".join([*lines[:most], f"... {len(lines) - most} more lines"])


def printed(argv):
    """What the command prints to a pipe, its help at 100 columns."""
    from flopsight.cli.main import run

    out, kept = io.StringIO(), dict(os.environ)
    os.environ.update(COLUMNS="100", NO_COLOR="1", TERM="dumb", FLOPSIGHT_HOME=str(ROOT / "nobody"))
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
        os.environ.pop(name, None)
    try:
        with contextlib.redirect_stdout(out):
            status = run(argv)
    finally:
        os.environ.clear()
        os.environ.update(kept)
    if status:
        raise RuntimeError(f"flopsight {' '.join(argv)} ended with {status}")
    return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").splitlines())


# ---------------------------------------------------------------- families


def families_page():
    from flopsight.models.families import MODULES

    rows = []
    for name, types in sorted(MODULES.items()):
        module = importlib.import_module(f"flopsight.models.families.{name}")
        link = f"[`{name}`](../src/flopsight/models/families/{name}.py)"
        rows.append([link, ", ".join(map(code, types)), first_line(module.__doc__)])
    total = sum(map(len, MODULES.values()))
    return f"""# Families

{total} model types (`model_type` of a config.json, `_class_name` of a diffusers model) in {len(MODULES)} files. A type
that is not here is counted from the framework's own modules where transformers is installed, with less
[confidence](concepts/confidence.md); it is never guessed to be something else.

{table(["file", "model types", "what they are"], rows)}

To add one: [CONTRIBUTING](../CONTRIBUTING.md#a-family).
"""


def main():
    if "--check" not in sys.argv[1:]:
        write()
        return 0
    found = stale()
    for path, why in found.items():
        print(f"docs/{path} {why}", file=sys.stderr)
    if found:
        print("Run `make docs`.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
