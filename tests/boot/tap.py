"""Test cases as functions, results as TAP."""
import sys
import time
import traceback


def run(cases):
    """Runs [(name, function)] in order; prints TAP; ends the process. A case fails by raising."""
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, (name, case) in enumerate(cases, 1):
        start, why = time.monotonic(), None
        try:
            case()
        except Exception as e:  # pylint: disable=broad-except
            why = traceback.format_exc() if not isinstance(e, RuntimeError) else str(e)
        failed += why is not None
        print(f"{'not ok' if why else 'ok'} {number} - {name} ({time.monotonic() - start:.0f} s)")
        for line in (why or "").splitlines():
            print(f"# {line}")
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


def check(condition, why):
    """An assertion with a sentence."""
    if not condition:
        raise RuntimeError(why)


def equal(found, wanted, what):
    check(found == wanted, f"{what}: expected {wanted!r}, found {found!r}")
