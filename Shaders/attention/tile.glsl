// Grouped-query attention sees q (tokens, heads · D) as rows of one key/value head: row = token · GROUP_SIZE + head in the
// group. A lane owns whole rows of one side (query rows, or keys); the other side comes by in tiles of TILE_ROWS rows, of
// which every lane reads every element, so one broadcast element meets ROWS_PER_LANE owned rows. TEXEL and SUBGROUP
// spread a tile over the subgroup's registers and broadcast with a constant lane; SHARED keeps it in shared memory.
layout(constant_id = 1) const uint HEAD_SIZE = 64;
layout(constant_id = 2) const uint GROUP_SIZE = 3;     // query heads per key/value head
layout(constant_id = 3) const uint ROWS_PER_LANE = 2;
layout(constant_id = 4) const uint TILE_ROWS = 4;      // at most LANES

const uint D4 = HEAD_SIZE / 4;
const uint OWNED = ROWS_PER_LANE * D4;
const uint PAIRS = ROWS_PER_LANE * TILE_ROWS;
const uint WORKGROUP_ROWS = LANES * ROWS_PER_LANE;
const uint TILE_SIZE = TILE_ROWS * D4;
const uint FETCHES = (TILE_SIZE + LANES - 1) / LANES;

const float LOG2E = 1.4426950408889634;
const float LN2 = 0.6931471805599453;

// Rasterisers hand each thread one contiguous share of the workgroups: pair light tiles with heavy ones.
uint balanced(uint place, uint tiles) { return (place & 1u) == 0u ? place / 2 : tiles - 1 - place / 2; }

// Where a row's vec4s begin: a query row of (tokens, kvHeads, GROUP_SIZE, D), a key of (tokens, kvHeads, D).
uint queryRow(uint row, uint kvHead, uint kvHeads) {
    return ((row / GROUP_SIZE * kvHeads + kvHead) * GROUP_SIZE + row % GROUP_SIZE) * D4;
}
uint keyRow(uint row, uint kvHead, uint kvHeads) { return (row * kvHeads + kvHead) * D4; }

// Rows past `last` repeat it: the caller masks them.
#if defined(FAMILY_SHARED)
#define SHARED_TILE(tile) shared vec4 tile[TILE_SIZE];
#define SHARED_COLUMN(column) shared float column[TILE_ROWS];
#define REGISTER_TILE(tile)
#define REGISTER_COLUMN(column)
#define FETCH_TILE(tile, source, rowStart, first, last, kvHead, kvHeads)                                 \
    for (uint at = LANE; at < TILE_SIZE; at += LANES)                                                    \
        tile[at] = LOAD4(source, rowStart(min(first + at / D4, last), kvHead, kvHeads) + at % D4);
#define FETCH_COLUMN(column, value) if (LANE < TILE_ROWS) column[LANE] = value;
#define TILE4(tile, row, d) tile[(row) * D4 + (d)]
#define COLUMN(column, row) column[row]
#define TILE_BARRIER() barrier()
#else
#extension GL_KHR_shader_subgroup_shuffle : require
#define SHARED_TILE(tile)
#define SHARED_COLUMN(column)
#define REGISTER_TILE(tile) vec4 tile[FETCHES];
#define REGISTER_COLUMN(column) float column;
#define FETCH_TILE(tile, source, rowStart, first, last, kvHead, kvHeads)                                 \
    [[unroll]] for (uint fetch = 0; fetch < FETCHES; ++fetch) {                                          \
        uint at = fetch * LANES + LANE;                                                                  \
        tile[fetch] = LOAD4(source, rowStart(min(first + at / D4, last), kvHead, kvHeads) + at % D4);    \
    }
#define FETCH_COLUMN(column, value) column = value;
#define TILE4(tile, row, d) subgroupShuffle(tile[((row) * D4 + (d)) / LANES], ((row) * D4 + (d)) % LANES)
#define COLUMN(column, row) subgroupShuffle(column, row)
#define TILE_BARRIER()
#endif

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
