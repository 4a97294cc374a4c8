// Slots of one token in groups, an expert a group, and a tile each (group_slots and group_starts say how it is with more). A slot an
// invocation.
#version 450

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;

layout(std430, binding = 0) writeonly buffer OrderStorage { int order[]; };    // (S): the slot at each place
layout(std430, binding = 1) writeonly buffer PlaceStorage { int places[]; };   // (S): the place of each slot
layout(std430, binding = 2) writeonly buffer TileStorage { uvec4 tiles[]; };   // (S): expert, place, place + 1
layout(std430, binding = 3) readonly buffer ExpertStorage { int experts[]; };  // (S), of each slot

layout(push_constant) uniform Push {
    uint groupBase;
    uint slots;
} push;

void main() {
    uint slot = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (slot >= push.slots) return;
    int expert = experts[slot];
    uint place = 0;
    for (uint i = 0; i < push.slots; i++)
        if (experts[i] < expert || (experts[i] == expert && i < slot)) place++;
    order[place] = int(slot);
    places[slot] = int(place);
    tiles[place] = uvec4(expert, place, place + 1, 0);
}
