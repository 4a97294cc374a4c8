// A row a workgroup: f = w·relu(z), loss = ½(f − target)², and z's gradient dz = (f − target)·scale·w where z > 0, else 0.
#version 450
//! variants FAMILY = TEXEL SUBGROUP SHARED
#include "lib/load.glsl"
#include "lib/reduce.glsl"

OUTPUT4(0, dz);            // (N, C), may be z's own memory
layout(std430, binding = 1) writeonly buffer Outputs { float outputs[]; }; // (N)
layout(std430, binding = 2) writeonly buffer Losses { float losses[]; };   // (N)
INPUT4(3, z);                                                              // (N, C)
INPUT4(4, weight);                                                         // (C)
layout(std430, binding = 5) readonly buffer Targets { float targets[]; };  // (N)

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;   // C / 4
    uint firstRow; // of this span of the matrices
    float scale;
} push;

void main() {
    uint row = gl_WorkGroupID.x + push.groupBase;
    uint start = row * push.width4;
    row += push.firstRow;

    vec4 products = vec4(0);
    for (uint i = LANE; i < push.width4; i += LANES) products += max(LOAD4(z, start + i), vec4(0)) * LOAD4(weight, i);
    float f = groupSum(horizontalSum(products));
    float error = f - targets[row];

    for (uint i = LANE; i < push.width4; i += LANES)
        STORE4(dz, start + i, mix(vec4(0), error * push.scale * LOAD4(weight, i), greaterThan(LOAD4(z, start + i), vec4(0))));
    if (LANE == 0) {
        outputs[row] = f;
        losses[row] = 0.5 * error * error;
    }
}
