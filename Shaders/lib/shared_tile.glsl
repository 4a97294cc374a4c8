// One workgroup computes a TILE_M × TILE_N tile of c = a·b; slabs of a and b of TILE_K along k pass through shared memory
// and each invocation keeps BLOCK_M × BLOCK_N sums. No subgroup operations, any M, N and K: what lies outside is zero.
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 128;
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint BLOCK_M = 8;
layout(constant_id = 4) const uint BLOCK_N = 4;
layout(constant_id = 5) const bool ACCUMULATE = false;  // y += instead of y =
const uint TILE_K = 16;
const uint ACROSS = TILE_N / BLOCK_N;  // invocations along n; LANES = ACROSS · TILE_M / BLOCK_M

layout(push_constant) uniform Push {
    uint groupBase;
    uint M, N, K, R;
    uint xStride, xOffset, wStride, wOffset, yStride, yOffset, hStride, hOffset;  // row to row, and to the first column, in floats
    float scale;
} push;

layout(std430, binding = 0) buffer YStorage { float y[]; };

// A column of padding keeps the turned stores off each other's banks.
shared float aSlab[TILE_K * (TILE_M + 1)];
shared float bSlab[TILE_K * (TILE_N + 1)];
float c[BLOCK_M][BLOCK_N];

#define EACH(i, count) [[unroll]] for (uint i = 0; i < count; i++)
// Deals count items out to the invocations; unrolled, since lavapipe counts the rounds of all loops together.
#define TURNS(count) ((count + LANES - 1) / LANES)
uint item(uint turn) { return turn * LANES + gl_LocalInvocationID.x; }

void putA(uint k, uint m, float value) { aSlab[k * (TILE_M + 1) + m] = value; }
void putB(uint k, uint n, float value) { bSlab[k * (TILE_N + 1) + n] = value; }

void clear() {
    EACH(m, BLOCK_M) EACH(n, BLOCK_N) c[m][n] = 0;
}

// Rows of a block lie together, so that they are broadcast; columns lie ACROSS apart, so that stores are contiguous.
void multiply() {
    barrier();
    uint across = gl_LocalInvocationID.x % ACROSS, down = gl_LocalInvocationID.x / ACROSS * BLOCK_M;
    EACH(k, TILE_K) {
        float b[BLOCK_N];
        EACH(n, BLOCK_N) b[n] = bSlab[k * (TILE_N + 1) + across + n * ACROSS];
        EACH(m, BLOCK_M) {
            float s = aSlab[k * (TILE_M + 1) + down + m];
            EACH(n, BLOCK_N) c[m][n] += s * b[n];
        }
    }
    barrier();
}

void store(uint row, uint column) {
    uint across = gl_LocalInvocationID.x % ACROSS, down = gl_LocalInvocationID.x / ACROSS * BLOCK_M;
    EACH(m, BLOCK_M) EACH(n, BLOCK_N) {
        uint atRow = row + down + m, atColumn = column + across + n * ACROSS;
        if (atRow < push.M && atColumn < push.N) {
            uint i = atRow * push.yStride + push.yOffset + atColumn;
            float value = push.scale * c[m][n];
            y[i] = ACCUMULATE ? y[i] + value : value;
        }
    }
}
