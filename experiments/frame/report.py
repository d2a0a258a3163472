"""figures/README.md, from the records that lie there: the claims with a verdict on each, then every figure, its
question, its command, what it shows."""

from pathlib import Path

from experiments.frame import catalogue, claims, records, runner

HEAD = """# Figures

Each picture has its record beside it (`.jsonl`: a header with settings, seed, commit and machine, then raw
measurements), and is there as SVG, too. `python -m experiments run NAME` measures and draws, `python -m experiments
draw NAME` draws the record again, `make figures` does all of it; this page is made by `python -m experiments report`.
"""
CLAIMS_HEAD = """## Claims

What the talk and the paper claim, in the talk's order. A verdict follows from the record of the figure beside it, by
the conditions that `verdicts` of that experiment states: all are met (holds), some (holds in part) or none.

| claim | verdict | why | figure |
|---|---|---|---|
"""


def report(folder=None) -> Path:
    """Writes README.md in the folder of figures; returns its path."""
    out = Path(folder or runner.FIGURES) / "README.md"
    out.write_text(text_of(out.parent), encoding="utf-8")
    return out


def text_of(folder) -> str:
    """The page of a folder of figures."""
    found = {name: records.load(path) for name, path in _drawn(folder)}
    sections = [HEAD, runs(found), claims_table(found)]
    for group in catalogue.FOLDERS:
        there = [name for name in catalogue.names(group) if name in found]
        if there:
            sections.append(f"## {group.capitalize()}\n\n{catalogue.about(group)}\n")
        sections += [section(name, catalogue.load(name), found[name]) for name in there]
    return "\n".join(sections)


def _drawn(folder):
    for name in catalogue.names():
        path = runner.record_path(name, "small", folder)
        if path.exists() and path.with_suffix(".png").exists():
            yield name, path


def runs(found) -> str:
    """In one line, of which commits and machines the records are: those of one commit and machine are one run."""
    of_run = {}
    for name, lines in found.items():
        of_run.setdefault(_run(lines[0]), []).append(name)
    if len(of_run) <= 1:
        return f"All {len(found)} records are of one run: {'; '.join(of_run)}.\n"
    parts = sorted(of_run.items(), key=lambda item: -len(item[1]))
    words = "; ".join(f"{run}: {', '.join(names)}" for run, names in parts)
    return f"The {len(found)} records are of {len(of_run)} runs. {words}.\n"


def _run(header) -> str:
    commit, simd = str(header.get("commit")), header.get("build", {}).get("simd")
    changed = " with changes" if commit.endswith("-dirty") else ""
    return f"{header.get('cpu')} ({simd}), commit {commit[:12]}{changed}"


def claims_table(found) -> str:
    """A row for each claim; found: {name: records} of the figures that are there."""
    by = {claim: name for name, entry in catalogue.entries().items() for claim in entry.claims}
    rows = []
    for key, claim in claims.CLAIMS.items():
        name = by.get(key)
        verdict = verdict_on(key, name, found)
        figure = f"[{name}](#{name})" if name in found else f"`{name}`" if name else ""
        rows.append(f"| {claim.words} ({claim.source}) | **{verdict.word}** | {verdict.why} | {figure} |")
    return CLAIMS_HEAD + "\n".join(rows) + "\n"


def verdict_on(key, name, found) -> claims.Verdict:
    """By the records of the experiment of that name, where there is one and they are of its present settings."""
    if name is None:
        return claims.unmeasured(claims.CLAIMS[key].why_not)
    if name not in found:
        return claims.unmeasured("its experiment has not been run: there is no record")
    module = catalogue.load(name)
    if not records.current(module, found[name]):
        return claims.unmeasured(f"{records.OLD}, and has to be run again")
    return module.verdicts(found[name])[key]


def section(name, module, lines) -> str:
    header = lines[0]
    source = getattr(module, "FIGURE", None)
    text = [
        f"### {name}\n",
        f"{module.QUESTION}{f' ({source}.)' if source else ''} `python -m experiments run {name}`\n",
        f"The paper: {module.PAPER}.\n",
    ]
    if not records.current(module, lines):
        text.append(f"**Found:** {records.OLD}; run it again\n")
    else:
        verdicts = module.verdicts(lines) if hasattr(module, "verdicts") else {}
        said = [f"- {claims.CLAIMS[key].words}: **{found.word}**, {found.why}." for key, found in verdicts.items()]
        text += ["\n".join(said) + "\n"] if said else []
        text.append(f"**Found:** {module.finding(lines)}\n")
    notes = [line["text"] for line in records.of(lines, "note") if "text" in line]
    if notes:
        text.append(f"{'. '.join(notes)}.\n")
    simd, commit = header.get("build", {}).get("simd"), str(header.get("commit"))[:12]
    threads, seed = header.get("threads"), header.get("seed")
    text.append(f"{header.get('cpu')}, {simd}, {threads} threads, seed {seed}, commit {commit}.\n")
    text.append(f"![{module.QUESTION}]({name}.png)\n")
    return "\n".join(text)
