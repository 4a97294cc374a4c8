// Attention on GPUs, whose lanes have few registers, in any subgroup size. A team of ROW_LANES lanes shares out the vec4s of
// ROWS_PER_LANE rows of one side (query rows, or keys): lane PART holds every ROW_LANES-th. The other side comes by in tiles of
// TILE_ROWS rows in shared memory.
//
// A score is a sum over its team. The lanes put their parts of the team's PAIRS scores (row, tile row) in shared memory (`putParts`);
// after a barrier each sums up some of them (`pairOf`, `sumOfParts`), makes of them what their row needs and puts that in `totals`;
// after another barrier all lanes of the team read it.
// The includer defines KINDS: how many scores a pair has.
#include "attention/rows.glsl"
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 128;
layout(constant_id = 3) const uint ROWS_PER_LANE = 2;
layout(constant_id = 4) const uint TILE_ROWS = 4;
layout(constant_id = 6) const uint ROW_LANES = 8;      // divides LANES

#define LANE gl_LocalInvocationID.x
#define PART (LANE % ROW_LANES)
#define TEAM (LANE / ROW_LANES)

const uint TEAMS = LANES / ROW_LANES;
const uint QUADS = (D4 + ROW_LANES - 1) / ROW_LANES;   // vec4s that a lane holds of a row; behind the row's end they are 0
const uint ROW_QUADS = QUADS * ROW_LANES;
const uint OWNED = ROWS_PER_LANE * QUADS;
const uint PAIRS = ROWS_PER_LANE * TILE_ROWS;
const uint SUMS = (PAIRS + ROW_LANES - 1) / ROW_LANES; // pairs that a lane sums up
const uint WORKGROUP_ROWS = TEAMS * ROWS_PER_LANE;

// Pairs lie LANES + 4 apart: lanes that read the parts of several pairs, in fours, meet no bank of shared memory twice.
shared float parts[KINDS * PAIRS * (LANES + 4)];
shared float totals[KINDS * TEAMS * PAIRS];

// Row r of the team, among the workgroup's rows.
uint rowOf(uint r) { return r * TEAMS + TEAM; }

// The lane's vec4 i of a row, and whether the row has it.
uint quadOf(uint i) { return i * ROW_LANES + PART; }
bool isHeld(uint i) { return D4 % ROW_LANES == 0 || quadOf(i) < D4; }
// It is read without a branch, for then all loads are under way at once.
#define HELD4(source, at, i)                                                                             \
    mix(vec4(0), LOAD4(source, (at) + (D4 % ROW_LANES == 0 ? quadOf(i) : min(quadOf(i), D4 - 1))), bvec4(isHeld(i)))

// The n-th pair that this lane sums up; lanes without one repeat the last, which they must not put.
uint pairOf(uint n) { return min(n * ROW_LANES + PART, PAIRS - 1); }
bool isPair(uint n) { return PAIRS % ROW_LANES == 0 || n * ROW_LANES + PART < PAIRS; }

float sumOfParts(uint kind, uint pair) {
    uint at = (kind * PAIRS + pair) * (LANES + 4) + TEAM * ROW_LANES;
    float sum = 0;
    [[unroll]] for (uint part = 0; part < ROW_LANES; ++part) sum += parts[at + part];
    return sum;
}
#define PART_AT(kind, pair) parts[((kind) * PAIRS + (pair)) * (LANES + 4) + LANE]
#define TOTAL_AT(kind, pair) totals[((kind) * TEAMS + TEAM) * PAIRS + (pair)]

// sum + a·b as four multiply-adds.
float addDot(float sum, vec4 a, vec4 b) {
    sum += a.x * b.x;
    sum += a.y * b.y;
    sum += a.z * b.z;
    return sum + a.w * b.w;
}

#define SHARED_TILE(tile) shared vec4 tile[TILE_QUADS];

// A tile on its way: loaded into registers while the tile before is worked on, then put in shared memory. Rows past `last`
// repeat it: the caller masks them.
const uint TILE_QUADS = TILE_ROWS * ROW_QUADS;
const uint FETCHES = (TILE_QUADS + LANES - 1) / LANES;
#define NEXT_TILE(next) vec4 next[FETCHES];
#define LOAD_TILE(next, source, rowStart, first, last, kvHead, kvHeads)                                  \
    [[unroll]] for (uint fetch = 0; fetch < FETCHES; ++fetch) {                                          \
        uint at = fetch * LANES + LANE, row = min((first) + at / ROW_QUADS, last), d = at % ROW_QUADS;   \
        next[fetch] = vec4(0);                                                                           \
        if ((D4 % ROW_LANES == 0 || d < D4) && (TILE_QUADS % LANES == 0 || at < TILE_QUADS))             \
            next[fetch] = LOAD4(source, rowStart(row, kvHead, kvHeads) + d);                             \
    }
#define PUT_TILE(tile, next)                                                                             \
    [[unroll]] for (uint fetch = 0; fetch < FETCHES; ++fetch) {                                          \
        uint at = fetch * LANES + LANE;                                                                  \
        if (TILE_QUADS % LANES == 0 || at < TILE_QUADS) tile[at] = next[fetch];                          \
    }

// The lane's parts of the scores of a kind: owned row r · tile row j.
#define PUT_PRODUCTS(kind, owned, tile) {                                                                \
        float scores[PAIRS];                                                                             \
        [[unroll]] for (uint pair = 0; pair < PAIRS; ++pair) scores[pair] = 0;                           \
        [[unroll]] for (uint i = 0; i < QUADS; ++i)                                                      \
            [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {                                            \
                vec4 other = tile[j * ROW_QUADS + quadOf(i)];                                            \
                [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r)                                      \
                    scores[r * TILE_ROWS + j] =                                                          \
                        addDot(scores[r * TILE_ROWS + j], owned[r * QUADS + i], other);                  \
            }                                                                                            \
        [[unroll]] for (uint pair = 0; pair < PAIRS; ++pair) PART_AT(kind, pair) = scores[pair];         \
    }

// owned row r += Σ_j weight(r, j) · tile row j
#define ADD_WEIGHTED(owned, weights, tile)                                                               \
    [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j)                                                      \
        [[unroll]] for (uint i = 0; i < QUADS; ++i) {                                                    \
            vec4 other = tile[j * ROW_QUADS + quadOf(i)];                                                \
            [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r)                                          \
                owned[r * QUADS + i] += weights[r * TILE_ROWS + j] * other;                              \
        }

// The totals of a kind, of all pairs of the team.
#define GET_TOTALS(weights, kind)                                                                        \
    [[unroll]] for (uint pair = 0; pair < PAIRS; ++pair) weights[pair] = TOTAL_AT(kind, pair);
