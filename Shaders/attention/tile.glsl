// Attention on CPU devices. A lane owns whole rows of one side (query rows, or keys); the other side comes by in tiles of
// TILE_ROWS rows, of which every lane reads every element, so one broadcast element meets ROWS_PER_LANE owned rows. A tile is
// spread over the subgroup's registers and broadcast with a constant lane.
#extension GL_KHR_shader_subgroup_shuffle : require
#include "attention/rows.glsl"
layout(constant_id = 3) const uint ROWS_PER_LANE = 2;
layout(constant_id = 4) const uint TILE_ROWS = 4;      // at most LANES

const uint OWNED = ROWS_PER_LANE * D4;
const uint PAIRS = ROWS_PER_LANE * TILE_ROWS;
const uint WORKGROUP_ROWS = LANES * ROWS_PER_LANE;
const uint TILE_SIZE = TILE_ROWS * D4;
const uint FETCHES = (TILE_SIZE + LANES - 1) / LANES;

// Rasterisers hand each thread one contiguous share of the workgroups: pair light tiles with heavy ones.
uint balanced(uint place, uint tiles) { return (place & 1u) == 0u ? place / 2 : tiles - 1 - place / 2; }

#define TILE(tile) vec4 tile[FETCHES];
#define TILE4(tile, row, d) subgroupShuffle(tile[((row) * D4 + (d)) / LANES], ((row) * D4 + (d)) % LANES)
// Rows past `last` repeat it: the caller masks them.
#define FETCH_TILE(tile, source, rowStart, first, last, kvHead, kvHeads)                                 \
    [[unroll]] for (uint fetch = 0; fetch < FETCHES; ++fetch) {                                          \
        uint at = fetch * LANES + LANE;                                                                  \
        tile[fetch] = LOAD4(source, rowStart(min(first + at / D4, last), kvHead, kvHeads) + at % D4);    \
    }

// scores[r, j] += owned row r · tile row j
#define ADD_PRODUCTS(scores, owned, tile)                                                                \
    [[unroll]] for (uint d = 0; d < D4; ++d)                                                             \
        [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {                                                \
            vec4 other = TILE4(tile, j, d);                                                              \
            [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r)                                          \
                scores[r * TILE_ROWS + j] += dot(owned[r * D4 + d], other);                              \
        }

// owned row r += Σ_j weights[r, j] · tile row j
#define ADD_WEIGHTED(owned, weights, tile)                                                               \
    [[unroll]] for (uint d = 0; d < D4; ++d)                                                             \
        [[unroll]] for (uint j = 0; j < TILE_ROWS; ++j) {                                                \
            vec4 other = TILE4(tile, j, d);                                                              \
            [[unroll]] for (uint r = 0; r < ROWS_PER_LANE; ++r)                                          \
                owned[r * D4 + d] += weights[r * TILE_ROWS + j] * other;                                 \
        }
