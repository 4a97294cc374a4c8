// Between the two steps of group_slots: counts become the first place of each block's slots of each expert; and the list of tiles,
// (expert, first place, end) of at most tileRows places of one expert, the rest of the list empty. One workgroup.
#version 450

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const uint EXPERTS = 8;

layout(std430, binding = 0) buffer CountStorage { uint counts[]; };            // (blocks, E)
layout(std430, binding = 1) writeonly buffer TileStorage { uvec4 tiles[]; };   // (tiles)

layout(push_constant) uniform Push {
    uint groupBase;
    uint blocks, tiles, tileRows;
} push;

shared uint starts[EXPERTS + 1];
shared uint firstTiles[EXPERTS + 1];

void main() {
    uint me = gl_LocalInvocationID.x;
    for (uint e = me; e < EXPERTS; e += LANES) {
        uint total = 0;
        for (uint block = 0; block < push.blocks; block++) total += counts[block * EXPERTS + e];
        starts[e] = total;
    }
    barrier();
    if (me == 0) {
        uint start = 0, tile = 0;
        for (uint e = 0; e < EXPERTS; e++) {
            uint total = starts[e];
            starts[e] = start;
            firstTiles[e] = tile;
            start += total;
            tile += (total + push.tileRows - 1) / push.tileRows;
        }
        starts[EXPERTS] = start;
        firstTiles[EXPERTS] = tile;
    }
    barrier();
    for (uint e = me; e < EXPERTS; e += LANES) {
        uint place = starts[e], end = starts[e + 1];
        for (uint tile = firstTiles[e]; tile < firstTiles[e + 1]; tile++) {
            tiles[tile] = uvec4(e, place, min(place + push.tileRows, end), 0);
            place += push.tileRows;
        }
        place = starts[e];
        for (uint block = 0; block < push.blocks; block++) {
            uint count = counts[block * EXPERTS + e];
            counts[block * EXPERTS + e] = place;
            place += count;
        }
    }
    for (uint tile = firstTiles[EXPERTS] + me; tile < push.tiles; tile += LANES) tiles[tile] = uvec4(0);
}
