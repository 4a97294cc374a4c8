"""`generate` without a prompt: it talks in a terminal, and answers a pipe line by line."""
import json, os, pty, select, signal, subprocess, sys, time

import pytest


class Terminal:
    """The program on a terminal of its own, as a person has it."""

    def __init__(self, *words):
        self.master, side = pty.openpty()
        # A session of its own, so that Ctrl-C reaches it alone.
        self.process = subprocess.Popen(
            list(map(str, words)), stdin=side, stdout=side, stderr=side, start_new_session=True, preexec_fn=own_terminal)
        os.close(side)
        self.seen = ""

    def until(self, text, seconds=60):
        """What was written up to the next `text`, and with it."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"no {text!r} in {self.seen!r}"
            try:
                self.seen += os.read(self.master, 4096).decode(errors="replace")
            except OSError:  # the other end is closed
                raise AssertionError(f"no {text!r} in {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def type(self, text):
        os.write(self.master, text.encode())

    def ended(self):
        # What is still written must be read, or the program waits.
        end = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 4096).decode(errors="replace")
                except OSError:
                    break
        return self.process.wait(timeout=10)


def own_terminal():
    import fcntl, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def talk(program, tiny):
    terminals = []

    def begin(*words):
        terminals.append(Terminal(program.path, "generate", "--model", tiny, "--max-tokens", "12", *words))
        return terminals[-1]

    yield begin
    for terminal in terminals:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


def answer(terminal, line):
    terminal.type(line + "\n")
    terminal.until(line + "\r\n")  # the terminal's echo
    return terminal.until("> ").removesuffix("> ").strip()


def test_it_talks_and_remembers(talk, program, tiny):
    terminal = talk()
    terminal.until("Ctrl-D ends")
    terminal.until("> ")
    first = answer(terminal, "Who sails?")
    assert first and first == program.run("generate", "--model", tiny, "--max-tokens", "12", "--prompt", "Who sails?").strip()
    terminal.type("   \n")
    terminal.until("> ")
    second = answer(terminal, "Tell me of the sea.")
    # A process of its own: the program's device and this one's validation layers are apart.
    source = """if True:
        import json, sys, loravk
        model, chat = loravk.Model.load(sys.argv[1]), json.loads(sys.argv[2])
        print(json.dumps([model.generate(chat, max_tokens=12), model.generate(chat[-1:], max_tokens=12)]))
    """
    said = [{"role": "user", "content": "Who sails?"}, {"role": "assistant", "content": first},
            {"role": "user", "content": "Tell me of the sea."}]
    with_memory, without = json.loads(subprocess.run(
        [sys.executable, "-c", source, tiny, json.dumps(said)], check=True, capture_output=True, text=True).stdout)
    assert second == with_memory.strip() and with_memory != without
    terminal.type("\x04")
    assert terminal.ended() == 0


def test_ctrl_c_ends_it_at_once(talk):
    terminal = talk()
    terminal.until("> ")
    start = time.monotonic()
    terminal.type("\x03")
    assert terminal.ended() == 128 + signal.SIGINT and time.monotonic() - start < 5


def test_a_line_that_is_not_utf_8_is_a_sentence(talk):
    terminal = talk()
    terminal.until("> ")
    os.write(terminal.master, b"\xff\xfe\n")
    terminal.until("not UTF-8")
    assert terminal.ended() == 1


def test_a_pipe_is_answered_line_by_line(program, tiny):
    """Each line is a prompt of its own; the answer to one comes before the next is there."""
    words = [program.path, "generate", "--model", tiny, "--max-tokens", "12"]
    alone = program.run(*words[1:], "--prompt", "Who sails?")
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        process.stdin.write(b"Who sails?\n\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 60)[0]
        said, errors = process.communicate(b"Who sails?", timeout=60)
    finally:
        process.kill()
    assert said.decode() == alone * 2 and process.returncode == 0
    assert b"> " not in errors and errors.count(b"tokens/s") >= 2
    waiting = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(3)
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(timeout=10) == 128 + signal.SIGINT
