"""What is under deploy/ fits the product: schemas, probes, metrics, runbooks, commands.

    deployment.py ROOT URL METRICS_URL SCAIDRIVED

ROOT is the project's folder, or a copy of what is read of it. URL is a running node's, METRICS_URL
where it tells its metrics, SCAIDRIVED the binary. Prints what is wrong, a line each, and ends with
1 when there is any.
"""

import json
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import kubernetes_validate
import promql_parser
import yaml

# The labels that Prometheus adds.
SCRAPED = {"instance", "job", "__name__"}
# Families that a node shows once something was counted in them.
SPARSE = {
    "scaidrive_rate_limit_rejections_total": {"dimension"},
    "scaidrive_sync_conflicts_total": {"type"},
}


def load(path):
    return list(yaml.safe_load_all(path.read_text()))


def shown(url):
    """Every series that a node tells, with its labels."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        text = answer.read().decode()
    series = {"up": set(), **SPARSE}
    for line in text.splitlines():
        named = re.match(r"# TYPE (\w+) counter", line)
        if named:
            # Whose labels are not known before something was counted.
            series.setdefault(named[1] + "_total", set())
        sample = re.match(r"(\w+)(?:\{(.*)\})? ", line)
        if sample and not line.startswith("#"):
            labels = set(re.findall(r'(\w+)="', sample[2] or ""))
            series[sample[1]] = series.get(sample[1], set()) | labels
    return series


def selectors(text):
    """What an expression of PromQL reads, as name and labels; it must parse."""
    promql_parser.parse(text)
    quoted = re.sub(r'"[^"]*"', '""', text)
    for name, labels in re.findall(r"\b(up|scaidrive_\w+)(?:\{([^}]*)\})?", quoted):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))


def check_expression(place, text, series):
    try:
        read = list(selectors(text.replace("$__rate_interval", "5m")))
    except Exception as error:  # The parser has no class of its own for it.
        return [f"{place}: `{text}` is no PromQL: {error}"]
    wrong = [] if read else [f"{place}: `{text}` reads no metric of the product"]
    for name, labels in read:
        if name not in series:
            wrong.append(f"{place}: no node tells `{name}`")
        elif series[name] and not labels <= series[name] | SCRAPED:
            wrong.append(f"{place}: `{name}` has no {labels - series[name] - SCRAPED}")
    return wrong


def anchors(path):
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def check_alerts(root, series):
    path = "deploy/monitoring/alerts.yaml"
    wrong = []
    for group in load(root / path)[0]["groups"]:
        for rule in group["rules"]:
            place = f"{path}: {rule['alert']}"
            wrong += check_expression(place, rule["expr"], series)
            if rule.get("labels", {}).get("severity") not in {"info", "warning", "critical"}:
                wrong.append(f"{place}: no severity")
            notes = rule.get("annotations", {})
            file, _, anchor = notes.get("runbook", "").partition("#")
            if not file or not (root / file).is_file():
                wrong.append(f"{place}: the runbook `{file}` is not there")
            elif anchor and anchor not in anchors(root / file):
                wrong.append(f"{place}: {file} has no #{anchor}")
            if not notes.get("summary"):
                wrong.append(f"{place}: no summary")
    return wrong


def check_pages(root):
    """Links of the pages lead to heads that are there."""
    wrong = []
    for path in sorted((root / "deploy").rglob("*.md")):
        for target in re.findall(r"\]\(([^)\s]*#[^)\s]+)\)", path.read_text()):
            file, _, anchor = target.partition("#")
            led = (path.parent / file).resolve() if file else path
            if "://" not in target and led.is_file() and anchor not in anchors(led):
                wrong.append(f"{path.relative_to(root)}: `{target}` is not there")
    return wrong


def check_dashboard(root, series):
    path = "deploy/monitoring/dashboard.json"
    wrong, ids = [], set()
    for panel in json.loads((root / path).read_text())["panels"]:
        place = f"{path}: {panel['title']}"
        if panel["id"] in ids:
            wrong.append(f"{place}: its id is another panel's")
        ids.add(panel["id"])
        for target in panel.get("targets", []):
            wrong += check_expression(place, target["expr"], series)
    return wrong


def check_kubernetes(root):
    wrong = []
    for path in sorted((root / "deploy/kubernetes").glob("*.yaml")):
        for resource in load(path):
            place = f"deploy/kubernetes/{path.name}: {resource['kind']}"
            try:
                kubernetes_validate.validate(
                    resource, kubernetes_validate.latest_version(), strict=True
                )
            except kubernetes_validate.ValidationError as error:
                wrong.append(f"{place}: {list(error.path)}: {error.message}")
            if resource["kind"] == "StatefulSet":
                wrong += check_probes(root, place, resource)
    return wrong


def check_probes(root, place, resource):
    paths = json.loads((root / "deploy/openapi.json").read_text())["paths"]
    pod = resource["spec"]["template"]
    wrong = []
    for container in pod["spec"]["containers"]:
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container.get(probe, {}).get("httpGet", {})
            if asked.get("path") not in paths or asked.get("port") not in ports:
                wrong.append(f"{place}: {probe} asks {asked}, which no node answers")
    wanted = resource["spec"]["selector"]["matchLabels"].items()
    if not wanted <= pod["metadata"]["labels"].items():
        wrong.append(f"{place}: selects other pods than its own")
    return wrong


def check_compose(root):
    path = "deploy/container/compose.yaml"
    tool = Path(sys.executable).with_name("check-jsonschema")
    ran = subprocess.run(
        [tool, "--builtin-schema", "vendor.compose-spec", root / path],
        capture_output=True,
        text=True,
    )
    wrong = [] if ran.returncode == 0 else [f"{path}: {ran.stdout}{ran.stderr}"]
    compose = load(root / path)[0]
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            if volume.split(":")[0] not in compose["volumes"]:
                wrong.append(f"{path}: {name}: no volume for {volume}")
    return wrong


def options(binary, command, known):
    """The flags of a command of the binary, or nothing when it has none of this name."""
    if command not in known:
        ran = subprocess.run([binary, *command, "--help"], capture_output=True, text=True)
        flags = set(re.findall(r"--[a-z][a-z-]*", ran.stdout))
        known[command] = flags if ran.returncode == 0 else None
    return known[command]


COMMAND = re.compile(r"(?:^|[\s(\"'|])scaidrived((?: +[^\s|;&)>\"'`]+)*)")


def check_commands(root, binary):
    """Every command of the server that a page, a script or a unit has is one of the binary."""
    wrong, known = [], {}
    files = [*(root / "deploy").rglob("*.md"), *(root / "deploy").rglob("*.service")]
    files += [*(root / "deploy").rglob("*.sh"), *(root / "deploy").rglob("*.yaml")]
    for path in sorted(files):
        text = path.read_text().replace("\\\n", " ")
        if path.suffix == ".md":
            text = "\n".join(re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        for line in text.splitlines():
            bare = line.split("# ")[0] if path.suffix == ".md" else line.lstrip("# ")
            bare = bare.replace("scaidrived\",", "scaidrived").replace("/usr/local/bin/", "")
            for words in COMMAND.findall(bare):
                wrong += check_command(f"{path.relative_to(root)}: {line.strip()}", words, binary,
                                       known)
    return wrong


def check_command(place, words, binary, known):
    words = shlex.split(words.replace("$(", " ").replace("[", " ").replace("]", " "))
    command = ()
    for word in words:
        if len(command) == 2 or not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        if options(binary, (*command, word), known) is None:
            if command:
                break
            return [f"{place}: `scaidrived {word}` is no command"]
        command = (*command, word)
    flags = options(binary, command, known)
    used = {word.split("=")[0] for word in words if word.startswith("--")}
    return [f"{place}: `{' '.join(command)}` takes no {flag}" for flag in sorted(used - flags)]


def main():
    root, url, metrics, binary = Path(sys.argv[1]), *sys.argv[2:]
    # Requests are told of once there was one.
    urllib.request.urlopen(f"{url}/health", timeout=30).close()
    series = shown(metrics)
    wrong = [
        *check_alerts(root, series),
        *check_dashboard(root, series),
        *check_pages(root),
        *check_kubernetes(root),
        *check_compose(root),
        *check_commands(root, binary),
    ]
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


main()
