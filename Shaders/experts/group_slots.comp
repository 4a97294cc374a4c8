// A token's choice of an expert is a slot. Slots are put in groups, an expert a group, in their order: a sort by counting in three steps.
//   COUNT  how many slots of each block go to each expert      PLACE  where each slot comes to lie
// A block of slots and an expert an invocation; between the two steps, group_starts makes the counts places.
#version 450
//! variants STEP = COUNT PLACE
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const uint BLOCK = 256;

layout(std430, binding = 0) readonly buffer ExpertStorage { int experts[]; };   // (S), of each slot
#if defined(STEP_COUNT)
layout(std430, binding = 1) writeonly buffer CountStorage { uint counts[]; };   // (blocks, E)
#else
layout(std430, binding = 1) readonly buffer CountStorage { uint counts[]; };
layout(std430, binding = 2) writeonly buffer OrderStorage { int order[]; };     // (S): the slot at each place
layout(std430, binding = 3) writeonly buffer PlaceStorage { int places[]; };    // (S): the place of each slot
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint slots, experts, blocks;
} push;

void main() {
    uint i = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (i >= push.blocks * push.experts) return;
    uint block = i / push.experts, expert = i % push.experts;
    uint end = min((block + 1) * BLOCK, push.slots);
#if defined(STEP_COUNT)
    uint place = 0;
#else
    uint place = counts[i];
#endif
    for (uint slot = block * BLOCK; slot < end; slot++) {
        if (uint(experts[slot]) != expert) continue;
#if defined(STEP_PLACE)
        order[place] = int(slot);
        places[slot] = int(place);
#endif
        place++;
    }
#if defined(STEP_COUNT)
    counts[i] = place;
#endif
}
