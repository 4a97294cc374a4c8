"""`chat` in a terminal and in a pipe, and `generate` of many prompts: held against transformers, turn by turn."""
import fcntl, json, os, pty, select, signal, struct, subprocess, sys, termios, time

import pytest
import torch
from make_adapter import make
from oracle import chat_ids, load_model, load_tokenizer

QUESTIONS = ["Who sails?", "Tell me of the sea.", "And then?"]


@pytest.fixture(scope="session")
def adapters(tiny, tmp_path_factory):
    """Two that change what the tiny model says."""
    folder = tmp_path_factory.mktemp("adapters")
    make(tiny, folder / "a", seed=1, size=0.1)
    make(tiny, folder / "b", rank=4, targets="q_proj,up_proj", seed=2, size=0.1)
    return folder


def answers_of_transformers(path, questions, tokens, adapter=None):
    """Greedy, the whole conversation anew for each answer."""
    model, tokenizer = load_model(path, adapter), load_tokenizer(path)
    messages, answers = [], []
    for question in questions:
        messages.append({"role": "user", "content": question})
        ids = torch.tensor([chat_ids(tokenizer, messages, add_generation_prompt=True)])
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False)
        answers.append(tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True))
        messages.append({"role": "assistant", "content": answers[-1]})
    return answers


def piped(program, *words, lines):
    """What `chat` writes to stdout and stderr."""
    done = subprocess.run(
        [program.path, "chat", *map(str, words)], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


class Terminal:
    """The program on a terminal of its own, as a person has it."""

    def __init__(self, *words):
        self.master, side = pty.openpty()
        # Wide, so that typed lines are not wrapped.
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 500, 0, 0))
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
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def talk(program, tiny):
    terminals = []

    def begin(*words):
        terminals.append(Terminal(program.path, "chat", "--model", tiny, "--max-tokens", "12", *words))
        return terminals[-1]

    yield begin
    for terminal in terminals:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


def answer(terminal, line):
    terminal.type(line + "\n")
    terminal.until(line + "\r\n")  # the terminal's echo
    # What is typed before the editor takes over is echoed twice.
    return terminal.until("> ").removesuffix("> ").removeprefix(line + "\r\n").strip()


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


def test_lines_are_edited(talk):
    """By libedit, which every system with Mesa's drivers has: arrow keys, and the line before."""
    terminal = talk()
    terminal.until("> ")
    terminal.type("Who sail?\x1b[Ds\n")
    terminal.until("\n")
    first = terminal.until("> ").removesuffix("> ").strip()
    terminal.type("/reset\n")
    terminal.until("> ")
    terminal.type("\x1b[A\x1b[A\n")
    terminal.until("Who sails?")
    terminal.until("\n")
    assert first and terminal.until("> ").removesuffix("> ").strip() == first


def test_ctrl_c_twice_ends_it_at_once(talk):
    terminal = talk()
    terminal.until("> ")
    start = time.monotonic()
    terminal.type("\x03")
    terminal.until("once more")
    terminal.until("> ")
    terminal.type("\x03")
    assert terminal.ended() == 128 + signal.SIGINT and time.monotonic() - start < 5


def test_ctrl_c_ends_an_answer_and_the_talk_goes_on(program, smollm2):
    terminal = Terminal(program.path, "chat", "--model", smollm2, "--max-tokens", "2000", "--context", "2048")
    try:
        terminal.until("> ")
        terminal.type("Tell me a very long story about a ship.\n")
        terminal.until("ship.\r\n")
        end = time.monotonic() + 120
        while len(terminal.seen) < 20:
            assert time.monotonic() < end and select.select([terminal.master], [], [], 60)[0]
            terminal.seen += os.read(terminal.master, 4096).decode(errors="replace")
        terminal.type("\x03")
        terminal.until("\r\n> ")
        assert terminal.process.poll() is None
        terminal.type("/set max-tokens 4\n")
        terminal.until("> ")
        assert answer(terminal, "Go on.")
        terminal.type("/quit\n")
        assert terminal.ended() == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


def test_commands_in_a_terminal(talk, tmp_path, adapters):
    terminal = talk("--system", "You are a sailor.")
    terminal.until("> ")

    def command(line):
        return answer(terminal, line)

    assert "/undo" in command("/help") and "no command '/nonsense'" in command("/nonsense")
    assert "nothing was asked yet" in command("/undo") and "nothing was asked yet" in command("/base")
    first = answer(terminal, "Who sails?")
    second = answer(terminal, "Tell me of the sea.")
    assert command("/undo") == "" and answer(terminal, "Tell me of the sea.") == second
    assert "saved" in command(f"/save {tmp_path}/talk.json")
    said = json.loads((tmp_path / "talk.json").read_text())
    assert [message["role"] for message in said] == ["system", "user", "assistant", "user", "assistant"]
    assert said[2]["content"].strip() == first
    (tmp_path / "other").write_text("")
    assert "is there already" in command(f"/save {tmp_path}/other")
    third = answer(terminal, "And then?")
    assert command("/reset") == "" and answer(terminal, "Who sails?") == first
    assert "5 messages" in command(f"/load {tmp_path}/talk.json") and answer(terminal, "And then?") == third
    assert "temperature must" in command("/set temperature -1").replace("the temperature is -1.0; it", "temperature")
    assert "needs a number" in command("/set seed x") and "max-tokens 12" in command("/set")
    assert "not 'x'" in command("/set top-k x") and "called 'colour'" in command("/set colour red")
    # Another adapter on the same model, beside the base.
    command("/reset")
    assert "none" in command("/adapter") and "No such file" in command("/adapter /none")
    assert command(f"/adapter {adapters}/a=0.5,{adapters}/b") == "" and "a=0.5," in command("/adapter")
    changed = answer(terminal, "Who sails?")
    assert changed != first and command("/base").removeprefix("base: ").strip() == first
    command("/base on")
    command("/reset")
    assert answer(terminal, "Who sails?").split("base: ")[1].strip() == first
    command("/base off")
    command("/adapter none")
    command("/reset")
    assert answer(terminal, "Who sails?") == first
    command("/set stop " + first[2:4])
    command("/reset")
    assert answer(terminal, "Who sails?") == first[:2].strip()
    terminal.type("/quit\n")
    assert terminal.ended() == 0


def test_turns_are_those_of_transformers(program, tiny, adapters):
    for adapter in (None, adapters / "a"):
        wanted = answers_of_transformers(tiny, QUESTIONS, 24, adapter)
        words = ["--model", tiny, "--max-tokens", 24, *(["--adapter", adapter] if adapter else [])]
        said, errors = piped(program, *words, lines=QUESTIONS)
        assert said == "".join(answer + "\n" for answer in wanted) and "> " not in errors
    said, errors = piped(program, "--model", tiny, "--max-tokens", 24, lines=[QUESTIONS[0], "/reset", "/help", QUESTIONS[0]])
    assert len(set(said.splitlines()[:1] + said.splitlines()[len(said.splitlines()) // 2:][:1])) == 1 and "/undo" in errors


def test_turns_of_smollm2_are_those_of_transformers(program, smollm2):
    questions = ["Name a sea.", "And an ocean?"]
    wanted = answers_of_transformers(smollm2, questions, 12)
    assert piped(program, "--model", smollm2, "--max-tokens", 12, lines=questions)[0] == "".join(text + "\n" for text in wanted)


def test_a_full_context_drops_the_oldest_turns(program, tiny):
    lines = [f"{question} {index}" for index in range(8) for question in QUESTIONS[:2]]
    said, errors = piped(program, "--model", tiny, "--max-tokens", 8, "--context", 128, lines=lines)
    assert "no longer seen" in errors and said
    done = subprocess.run([program.path, "chat", "--model", tiny, "--context", "64"], input="word " * 200 + "\n",
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 1 and "only 63 fit before an answer" in done.stderr


def test_chats_of_a_file_are_answered(program, tiny, tmp_path, adapters):
    """One chat, several, and lines; as JSON with probabilities, whose numbers are transformers'."""
    wanted = answers_of_transformers(tiny, QUESTIONS, 16)
    chat = [{"role": "user", "content": QUESTIONS[0]}, {"role": "assistant", "content": wanted[0]},
            {"role": "user", "content": QUESTIONS[1]}]
    (tmp_path / "one.json").write_text(json.dumps(chat))
    (tmp_path / "two.json").write_text(json.dumps([chat, chat[:1]]))
    (tmp_path / "two.jsonl").write_text(json.dumps({"messages": chat}) + "\n\n" + json.dumps(chat[:1]) + "\n")
    words = ["generate", "--model", tiny, "--max-tokens", 16]
    assert program.run(*words, "--messages", tmp_path / "one.json") == wanted[1] + "\n"
    for name in ("two.json", "two.jsonl"):
        lines = program.run(*words, "--messages", tmp_path / name, "--json", "--logprobs", 3).splitlines()
        first, second = map(json.loads, lines)
        assert (first["answer"], second["answer"]) == (wanted[1], wanted[0])
        assert first["messages"] == chat and (first["index"], second["index"]) == (0, 1)
        assert first["kept_tokens"] == 0 and second["kept_tokens"] > 5 and second["prompt_tokens"] > second["kept_tokens"]
    model, tokenizer = load_model(tiny), load_tokenizer(tiny)
    ids = chat_ids(tokenizer, chat, add_generation_prompt=True) + [entry["token"] for entry in first["logprobs"]]
    with torch.no_grad():
        theirs = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), -1)
    start = first["prompt_tokens"] - 1
    for place, entry in enumerate(first["logprobs"]):
        row = theirs[start + place]
        assert entry["logprob"] == pytest.approx(row[entry["token"]].item(), abs=1e-3)
        assert [top["logprob"] for top in entry["top"]] == pytest.approx(row.topk(3).values.tolist(), abs=1e-3)
        assert entry["text"] == tokenizer.decode([entry["token"]])
    assert len(first["logprobs"]) == first["answer_tokens"]


def test_stop_strings_end_an_answer(program, tiny):
    words = ["generate", "--model", tiny, "--max-tokens", 24, "--json", "--prompt", QUESTIONS[0]]
    whole = json.loads(program.run(*words))
    text = whole["answer"]
    stop = text[5:8]
    stopped = json.loads(program.run(*words, "--stop", "never there", "--stop", stop))
    assert stopped["answer"] == text[:text.index(stop)] and stopped["finish_reason"] == "stop_string"
    assert whole["finish_reason"] in ("stop", "length") and stopped["answer_tokens"] < whole["answer_tokens"]
    short = json.loads(program.run(*words, "--max-tokens", 2))
    assert short["finish_reason"] == "length" and short["answer_tokens"] == 2


def test_what_generate_refuses(program, tiny, tmp_path):
    (tmp_path / "answered.json").write_text('[{"role": "assistant", "content": "Hi"}]')
    (tmp_path / "empty.jsonl").write_text("\n")
    words = ["generate", "--model", tiny]
    assert "last message is the assistant's" in program.run(*words, "--messages", tmp_path / "answered.json", fails=True)
    assert "no chats" in program.run(*words, "--messages", tmp_path / "empty.jsonl", fails=True)
    assert "--logprobs needs --json" in program.run(*words, "--prompt", "a", "--logprobs", 2, fails=True)
    assert "stop string is empty" in program.run(*words, "--prompt", "a", "--stop", "", fails=True)
    terminal = Terminal(program.path, "generate", "--model", tiny)
    terminal.until("`lora-vk chat` talks")
    assert terminal.ended() == 1
    os.close(terminal.master)


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
