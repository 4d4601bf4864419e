# oracle.py: plays the scenarios' Python halves under asyncio and prints what each one says.
#
# usage: python3 tests/oracle/oracle.py < SCENARIOS
#
# The input is what oracle.lua writes: "#### VERSION NAME" and the body of a coroutine function, for each scenario. For
# each it prints "#### NAME", then a line for each thing that was said behind two blanks, or "skip REASON" where this
# Python is older than VERSION, or "fail" and a traceback. Each one has a loop of its own, and ten seconds.
import asyncio
import signal
import sys
import textwrap
import traceback

T = 0.02  # a tick: real time, so the scenarios have as few of them as they can


def text(value):
    """As Lua would print it."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(text, value)) + "]"
    if isinstance(value, BaseException):
        return why(value)
    return str(value)


def why(error):
    """What happened, in the words that both languages share."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return "timed out"
    if type(error).__name__ == "BrokenBarrierError":
        return "broken"
    if type(error).__name__ in ("ExceptionGroup", "BaseExceptionGroup"):
        return "group of " + " ".join(map(why, error.exceptions))
    if isinstance(error, Wrong):
        return str(error)
    return "misuse" if isinstance(error, (asyncio.InvalidStateError, RuntimeError, ValueError)) else repr(error)


class Wrong(Exception):
    """What the scenarios' own code raises."""


async def turns(n=1):
    for _ in range(n):
        await asyncio.sleep(0)


async def attempt(awaitable):
    """What comes of it, whatever it is."""
    try:
        return await awaitable
    except BaseException as error:
        return why(error)


def refused(function, *arguments):
    """Is this call refused?"""
    try:
        function(*arguments)
    except Exception:
        return True
    return False


def play(body):
    said = []

    def say(*words):
        said.append(" ".join(map(text, words)))

    space = {**vars(asyncio), **globals(), "say": say, "asyncio": asyncio}
    exec("async def main():\n" + textwrap.indent(textwrap.dedent(body), "    "), space)

    async def quietly():
        # What nobody fetched is reported when it is collected; there is a scenario about that, with a handler of its own.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await space["main"]()

    signal.alarm(10)
    asyncio.run(quietly())
    signal.alarm(0)
    return said


def on_alarm(*_):
    raise RuntimeError("the scenario hangs")


def main():
    signal.signal(signal.SIGALRM, on_alarm)
    for scenario in sys.stdin.read().split("#### ")[1:]:
        head, body = scenario.split("\n", 1)
        version, name = head.split(" ", 1)
        print("####", name)
        if sys.version_info < tuple(map(int, version.split("."))):
            print("skip needs Python %s, this is %d.%d" % (version, *sys.version_info[:2]))
            continue
        try:
            for line in play(body):
                print(" ", line)
        except BaseException:
            print("fail", traceback.format_exc())


main()
