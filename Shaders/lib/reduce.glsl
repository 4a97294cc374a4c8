// Reductions over a workgroup, whose width LANES the launcher chooses: exactly one subgroup for TEXEL and SUBGROUP,
// any power of two for SHARED. Every lane gets the result. Call them in uniform control flow only.
#if defined(FAMILY_SHARED)
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;

#define LANE gl_LocalInvocationID.x

shared float reduceFloat[LANES];
shared uint reduceUint[LANES];

// The leading barrier keeps this call's writes behind the last call's reads.
#define REDUCE(scratch, value, combine)                                                        \
    barrier();                                                                                 \
    scratch[LANE] = value;                                                                     \
    barrier();                                                                                 \
    for (uint half_ = LANES / 2; half_ > 0; half_ /= 2) {                                      \
        if (LANE < half_) scratch[LANE] = combine(scratch[LANE], scratch[LANE + half_]);       \
        barrier();                                                                             \
    }                                                                                          \
    return scratch[0]

float reduceAdd(float a, float b) { return a + b; }
float groupSum(float value) { REDUCE(reduceFloat, value, reduceAdd); }
float groupMax(float value) { REDUCE(reduceFloat, value, max); }
uint groupMin(uint value) { REDUCE(reduceUint, value, min); }
#else
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

#define LANE gl_SubgroupInvocationID

float groupSum(float value) { return subgroupAdd(value); }
float groupMax(float value) { return subgroupMax(value); }
uint groupMin(uint value) { return subgroupMin(value); }
#endif

float horizontalSum(vec4 four) { return (four.x + four.y) + (four.z + four.w); }
float horizontalMax(vec4 four) { return max(max(four.x, four.y), max(four.z, four.w)); }
