// One workgroup computes a TILE_M × TILE_N tile of c = a·b, or of one part of the sum; slabs of a and b of TILE_K along k pass through
// shared memory and each invocation keeps BLOCK_M × BLOCK_N sums. No subgroup operations. Operands come in blocks of 4 × 4 by loads of
// 128 bits at clamped addresses: what lies outside is read again and never used. The next slab is on its way to registers while one
// is multiplied. N, and what operands and y have of row pitches and offsets, are multiples of 4.
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 128;
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint TILE_K = 32;
layout(constant_id = 4) const uint BLOCK_M = 8;
layout(constant_id = 5) const uint BLOCK_N = 4;
layout(constant_id = 6) const bool ACCUMULATE = false;  // y = old + …

const uint QUADS_M = TILE_M / 4, QUADS_N = TILE_N / 4, QUADS_K = TILE_K / 4;
const uint ACROSS = TILE_N / BLOCK_N;  // invocations along n; LANES = ACROSS · TILE_M / BLOCK_M
// Blocks of a slab, and how many of them an invocation fetches.
const uint A_BLOCKS = QUADS_M * QUADS_K, B_BLOCKS = QUADS_N * QUADS_K;
const uint A_TURNS = (A_BLOCKS + LANES - 1) / LANES, B_TURNS = (B_BLOCKS + LANES - 1) / LANES;

#if !defined(OWN_PUSH)
layout(push_constant) uniform Push {
    uint groupBase;
    uint M, N, K, R;
    uint partK;  // of the sum what one workgroup takes, a multiple of TILE_K; parts of y lie behind each other
    uint xPitch, xOffset, wPitch, wOffset, yPitch, yOffset, hPitch, hOffset;  // in runs of four floats
    float scale;
} push;
#endif
#if !defined(ROW_END)
#define ROW_END push.M  // behind the last row of y
#endif

layout(std430, binding = 0) writeonly buffer YStorage { vec4 y[]; };
layout(std430, binding = 1) readonly buffer OldStorage { vec4 old[]; };

#define EACH(i, count) [[unroll]] for (uint i = 0; i < count; i++)

// Row k of a slab is its row k % 4 · QUADS_K + k / 4, at an odd number of runs of four from the next: neither the stores of a block
// nor the reads meet in a bank.
const uint A_PITCH = QUADS_M + 1, B_PITCH = QUADS_N + 1, B_SLAB = TILE_K * A_PITCH;
shared vec4 slabs[B_SLAB + TILE_K * B_PITCH];
vec4 c[BLOCK_M][BLOCK_N / 4];

uint me() { return gl_LocalInvocationID.x; }
// Invocations that have no block of a fetch one of b, where they can.
uint itemA(uint turn) { return turn * LANES + me(); }
uint itemB(uint turn) { return turn * LANES + (me() + A_BLOCKS) % LANES; }
bool hasA(uint turn) { return A_BLOCKS % LANES == 0 || itemA(turn) < A_BLOCKS; }
bool hasB(uint turn) { return B_BLOCKS % LANES == 0 || itemB(turn) < B_BLOCKS; }
// Where block i lies in its slab, (quad along k, quad of a row): neighbours read along rows of memory, which run along k or across.
uvec2 placeAlong(uint i) { return uvec2(i % QUADS_K, i / QUADS_K); }
uvec2 placeAcross(uint i, uint quads) { return uvec2(i / quads, i % quads); }

void putAcross(uint slab, uint pitch, uvec2 place, vec4 rows[4]) {
    EACH(j, 4) slabs[slab + (j * QUADS_K + place.x) * pitch + place.y] = rows[j];
}

void putAlong(uint slab, uint pitch, uvec2 place, vec4 rows[4]) {
    EACH(j, 4)
        slabs[slab + (j * QUADS_K + place.x) * pitch + place.y] = vec4(rows[0][j], rows[1][j], rows[2][j], rows[3][j]);
}

void clear() { EACH(m, BLOCK_M) EACH(n, BLOCK_N / 4) c[m][n] = vec4(0); }

// Rows of a block lie together, so that they are broadcast; columns lie ACROSS runs of four apart, so that stores are contiguous.
void multiplyRow(uint row) {
    uint across = me() % ACROSS, down = me() / ACROSS * (BLOCK_M / 4);
    vec4 b[BLOCK_N / 4];
    EACH(n, BLOCK_N / 4) b[n] = slabs[B_SLAB + row * B_PITCH + across + n * ACROSS];
    EACH(m, BLOCK_M / 4) {
        vec4 a = slabs[row * A_PITCH + down + m];
        EACH(j, 4) EACH(n, BLOCK_N / 4) c[m * 4 + j][n] += a[j] * b[n];
    }
}

// The first `count` rows of the slab, in the order of the sum: no tile changes a bit.
void multiply(uint count) {
    if (count >= TILE_K) {
        EACH(k, TILE_K) multiplyRow(k % 4 * QUADS_K + k / 4);
    } else {
        for (uint k = 0; k < count; k++) multiplyRow(k % 4 * QUADS_K + k / 4);
    }
}

void store(uint row, uint column, uint part) {
    uint across = me() % ACROSS, down = me() / ACROSS * BLOCK_M, N4 = push.N / 4;
    EACH(m, BLOCK_M) EACH(n, BLOCK_N / 4) {
        uint atRow = row + down + m, atColumn = column / 4 + across + n * ACROSS;
        if (atRow < ROW_END && atColumn < N4) {
            uint i = (part * push.M + atRow) * push.yPitch + push.yOffset + atColumn;
            vec4 value = push.scale * c[m][n];
            y[i] = ACCUMULATE ? old[i] + value : value;
        }
    }
}
