"""The table and plot of scripts/growth. usage: growth_table.py RESULTS [PLOT.svg]: RESULTS has a length and a JSON object a line."""
import json, math, sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 60, 60, 40, 40
RATE, MEMORY = "#1f6feb", "#d1242f"

results = []
for line in Path(sys.argv[1]).read_text().splitlines():
    tokens, text = line.split(" ", 1)
    results.append((int(tokens), json.loads(text)))

print("| tokens | tokens/s, best | tokens per second of a processor | activations, MB | peak of the process, MB |")
print("|---|---|---|---|---|")
for tokens, r in results:
    print(f"| {tokens} | {r['best']:.0f} | {tokens / r['processor']:.0f} | {r['activations'] / 1e6:.0f} | {r['megabytes']} |")


def plot():
    """Tokens by their logarithm; tokens a processor second and megabytes of activations from zero, each by its own axis."""
    lengths = [tokens for tokens, _ in results]
    low, high = math.log(lengths[0]), math.log(lengths[-1])
    x = [LEFT + (WIDTH - LEFT - RIGHT) * (math.log(n) - low) / max(high - low, 1e-9) for n in lengths]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    text = lambda x, y, s, color="black", anchor="middle": parts.append(
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}">{s}</text>')
    rates = [n / r["processor"] for n, r in results]
    megabytes = [r["activations"] / 1e6 for _, r in results]
    for values, color, axis, anchor, name in (
            (rates, RATE, LEFT, "end", "tokens per processor second"), (megabytes, MEMORY, WIDTH - RIGHT, "start", "MB of activations")):
        top = 1.1 * max(values)
        y = lambda value: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top
        points = " ".join(f"{a:.1f},{y(b):.1f}" for a, b in zip(x, values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{y(b):.1f}" r="3" fill="{color}"/>' for a, b in zip(x, values)]
        for share in (0, 0.5, 1):
            text(axis + (-6 if anchor == "end" else 6), y(top * share) + 4, f"{top * share:.0f}", color, anchor)
        text(axis, TOP - 16, name, color, "start" if anchor == "end" else "end")
    for a, n in zip(x, lengths):
        text(a, HEIGHT - BOTTOM + 18, n)
    parts.append(f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}V{TOP}" fill="none" stroke="gray"/>')
    text(WIDTH / 2, HEIGHT - 6, "tokens of the sequence")
    return "\n".join(parts + ["</svg>"]) + "\n"


if len(sys.argv) > 2:
    Path(sys.argv[2]).write_text(plot())
