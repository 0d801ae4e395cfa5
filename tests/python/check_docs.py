#!/usr/bin/env python3
"""Holds the documents to what is there.

`links`: every relative link of README.md, ARCHITECTURE.md and docs/ leads to a file, and every #anchor to a heading of
it. `commands BINARY`: every `tarn …` in a fenced block, or in a code span of its own, names a command, and every flag
of it is one that the command's own --help tells. `metrics FILE…`: every figure in a fenced block of YAML, where alert
rules are, is in one of these answers of `/metrics`.
"""

import argparse
import functools
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
# The program where a shell would look for one, also by its path or behind variables of its own; in a table of commands it may
# also stand in a later column. What follows goes up to where a shell, or the column, would end it.
COMMAND = re.compile(
    r"(?:^[ \t]*|\$\(|[|;&] *|sudo |/bin/|^\w+=\S+ |\) |[ \t]{3,})tarn (?=[a-z-])(.*?)(?=$|[|;&)]|[ \t]#|[ \t]{3,})", re.MULTILINE
)
# Quoted words are values; what would end a command does not do so in them.
QUOTED = re.compile(r"'[^'\n]*'|\"[^\"\n$]*\"")
FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z0-9-]*")


def documents():
    return [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]


def without_code(text):
    """The text with blanks in the place of code, so that lines keep their numbers."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])

    return SPAN.sub(blank, FENCE.sub(blank, text))


# ---- Links --------------------------------------------------------------------------------------


@functools.cache
def anchors(file):
    """The anchors that GitHub gives to the headings of a document."""
    found, times = set(), {}
    text = FENCE.sub("", file.read_text(encoding="utf-8"))
    for heading in HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = times.get(slug, 0)
        times[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def check_links():
    faults, links = [], 0
    for file in documents():
        text = without_code(file.read_text(encoding="utf-8"))
        for match in LINK.finditer(text):
            target = urllib.parse.unquote(match[1])
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            links += 1
            path, _, anchor = target.partition("#")
            there = (file.parent / path).resolve() if path else file
            where = f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            if not there.exists():
                faults.append(f"{where}: there is no {path}")
            elif anchor and (there.suffix != ".md" or anchor not in anchors(there)):
                faults.append(f"{where}: {path or file.name} has no heading #{anchor}")
    return f"{links} links", faults


# ---- Commands -----------------------------------------------------------------------------------


class Program:
    """What a binary tells of itself by --help."""

    def __init__(self, binary):
        self.binary = binary

    @functools.cache
    def help(self, words):
        done = subprocess.run([self.binary, *words, "--help"], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    @functools.cache
    def commands(self, words):
        section = re.search(r"^Commands:\n((?:[ \t].*\n|\n)*)", self.help(words), re.MULTILINE)
        return set(re.findall(r"^  ([a-z][a-z0-9-]*)", section[1], re.MULTILINE)) if section else set()

    @functools.cache
    def flags(self, words):
        # Lines that name a flag begin with it; those of prose are no promise.
        lines = re.findall(r"^\s+(-.*)$", self.help(words), re.MULTILINE)
        return {flag for line in lines for flag in FLAG.findall(line)}

    def fault(self, line):
        """What is wrong with a command line, without the program's name."""
        words, flags = (), set()
        tokens = line.replace("[", " ").replace("]", " ").split()
        for token in tokens:
            token = token.split("|")[0]
            if token.startswith("-"):
                if match := FLAG.match(token):
                    flags.add(match[0])
            elif token in self.commands(words):
                words += (token,)
            elif not words and not flags:
                return f"there is no command {token}"
        known = self.flags(words) | self.flags(words[:1])
        unknown = sorted(flags - known)
        return f"`tarn {' '.join(words)}` has no {', '.join(unknown)}" if unknown else None


def command_lines(text):
    """Each `tarn …` of a document, with the place where its block begins."""
    spans = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    blocks = [(match.start(), match[0]) for match in FENCE.finditer(text)]
    blocks += [(match.start(), match[2]) for match in SPAN.finditer(spans) if match[2].startswith("tarn ")]
    for start, block in blocks:
        # A line that ends in a backslash goes on in the next one.
        whole = re.sub(r" *\\\n\s*", " ", block)
        for match in COMMAND.finditer(QUOTED.sub("QUOTED", whole)):
            yield text.count("\n", 0, start) + 1, match[1]


def check_commands(binary):
    program, faults, lines = Program(binary), [], 0
    for file in documents():
        # Decisions tell of the day on which they were made.
        if file.parent.name == "decisions":
            continue
        for number, line in command_lines(file.read_text(encoding="utf-8")):
            lines += 1
            if fault := program.fault(line):
                faults.append(f"{file.relative_to(ROOT)}:{number}: {fault}, in: tarn {line.strip()}")
    return f"{lines} commands", faults


# ---- Figures ------------------------------------------------------------------------------------


def check_metrics(files):
    answers = "".join(pathlib.Path(file).read_text(encoding="utf-8") for file in files)
    # Families without a value yet have their names in the description only, without what is put behind them.
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", answers, re.MULTILINE))
    known = {re.match(r"\w*", line)[0] for line in answers.splitlines() if not line.startswith("#")}
    for name, kind in kinds.items():
        known |= {f"{name}_total"} if kind == "counter" else {name}
    faults, figures = [], 0
    for file in documents():
        for block in re.findall(r"^```yaml\n.*?^```", file.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            for name in re.findall(r"\btarn_\w+", block):
                figures += 1
                if name not in known:
                    faults.append(f"{file.relative_to(ROOT)}: /metrics has no {name}")
    return f"{figures} figures", faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("links")
    what.add_parser("commands").add_argument("binary")
    what.add_parser("metrics").add_argument("answers", nargs="+")
    args = parser.parse_args()
    if args.what == "links":
        told, faults = check_links()
    elif args.what == "commands":
        told, faults = check_commands(args.binary)
    else:
        told, faults = check_metrics(args.answers)
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{told}, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
