"""The README's commands, and what it shows of their output."""
import re

from .process import ROOT


def part(mark):
    """The text between <!-- mark --> and <!-- end of mark -->."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text[text.index(f"<!-- {mark} -->"):text.index(f"<!-- end of {mark} -->")]


def commands(mark):
    """The shell commands of a part."""
    return "".join(body for _, body in re.findall(r"^```(sh)\n(.*?)^```$", part(mark), re.M | re.S))


def tour(mark="tour"):
    """(commands, shown output) of every step; the output of a block of commands follows it."""
    steps = []
    for kind, body in re.findall(r"^```(sh|json|text)\n(.*?)^```$", part(mark), re.M | re.S):
        if kind == "sh":
            steps.append([body, ""])
        else:
            steps[-1][1] = body
    return steps


def tour_script(url, mark="tour"):
    """All of the tour for one shell; the output of each step follows a line of its own."""
    script = ["set -eu -o pipefail"]
    for number, (lines, _) in enumerate(tour(mark)):
        script.append(f"echo '@@ {number}'")
        script.append(lines.replace("http://localhost:8080", url))
    return "\n".join(script)


def check_tour(output, mark="tour"):
    """What the script has said is what the README shows."""
    steps, got = tour(mark), re.split(r"^@@ \d+\n", output, flags=re.M)[1:]
    assert len(steps) > 2
    for (lines, shown), said in zip(steps, got, strict=True):
        assert said == shown, f"{lines}says\n{said}"
