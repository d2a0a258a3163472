"""figures/README.md, from the records that lie there: every figure, its question, its command, what it shows."""

from pathlib import Path

from experiments.frame import catalogue, records, runner

HEAD = """# Figures

Each picture has its record beside it (`.jsonl`: a header with settings, seed, commit and machine, then raw
measurements). `python -m experiments run NAME` measures and draws, `python -m experiments draw NAME` draws the record
again, `make figures` does all of it; this page is made by `python -m experiments report`.
"""


def report(folder=None) -> Path:
    """Writes README.md in the folder of figures; returns its path."""
    folder = Path(folder or runner.FIGURES)
    sections = [HEAD]
    for group in catalogue.FOLDERS:
        paths = {name: runner.record_path(name, "small", folder) for name in catalogue.names(group)}
        there = [name for name, path in paths.items() if path.exists() and path.with_suffix(".png").exists()]
        if there:
            sections.append(f"## {group.capitalize()}\n\n{catalogue.about(group)}\n")
        sections += [section(name, catalogue.load(name), records.load(paths[name])) for name in there]
    out = folder / "README.md"
    out.write_text("\n".join(sections), encoding="utf-8")
    return out


def section(name, module, lines) -> str:
    header = lines[0]
    source = getattr(module, "FIGURE", None)
    text = [
        f"### {name}\n",
        f"{module.QUESTION}{f' ({source}.)' if source else ''} `python -m experiments run {name}`\n",
        f"The paper: {module.PAPER}.\n",
    ]
    if not runner.current(module, lines):
        found = "this record is of an earlier version of the experiment, with other settings; run it again"
    else:
        found = module.finding(lines)
    text.append(f"**Found:** {found}\n")
    notes = [line["text"] for line in records.of(lines, "note") if "text" in line]
    if notes:
        text.append(f"{'. '.join(notes)}.\n")
    simd, commit = header.get("build", {}).get("simd"), str(header.get("commit"))[:12]
    threads, seed = header.get("threads"), header.get("seed")
    text.append(f"{header.get('cpu')}, {simd}, {threads} threads, seed {seed}, commit {commit}.\n")
    text.append(f"![{module.QUESTION}]({name}.png)\n")
    return "\n".join(text)
