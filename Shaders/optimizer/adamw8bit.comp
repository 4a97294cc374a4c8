// AdamW whose averages are kept in 8 bits: a workgroup has a block of 256 parameters, whose averages are the block's largest
// magnitude times what their codes stand for (lib/dynamic_code.glsl). The update uses the averages before they are rounded again.
// Dettmers et al.: 8-bit Optimizers via Block-wise Quantization (2022). The formula is that of adamw.comp.
#version 450
//! variants FAMILY = SUBGROUP SHARED
//! variants RATES = ONE EACH
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "lib/step_state.glsl"
#include "lib/dynamic_code.glsl"

layout(std430, binding = 0) buffer Parameters { vec4 parameters[]; };
layout(std430, binding = 1) buffer MCodes { uint mCodes[]; }; // four to a word
layout(std430, binding = 2) buffer VCodes { uint vCodes[]; };
layout(std430, binding = 3) buffer MScales { float mScales[]; }; // one a block
layout(std430, binding = 4) buffer VScales { float vScales[]; };
INPUT4(5, gradients);
OPTIMIZER_STATE(6, ADAMW_SETTINGS);
STEP_RESULT(7, readonly);
#ifdef RATES_EACH
INPUT4(8, rates);
#endif

const uint BLOCK4 = 64; // vec4 a block

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

struct Averages {
    vec4 m, v;
};

Averages averages(uint i, float mScale, float vScale) {
    vec4 g = LOAD4(gradients, i) * result.clipFactor;
#ifdef RATES_EACH
    g = mix(g, vec4(0), equal(LOAD4(rates, i), vec4(0))); // what is frozen may have any gradient
#endif
    vec4 m = mScale * signedValues(mCodes[i]);
    vec4 v = vScale * unsignedValues(vCodes[i]);
    return Averages(state.beta1 * m + state.oneMinusBeta1 * g, state.beta2 * v + state.oneMinusBeta2 * g * g);
}

void main() {
    if (result.skipped != 0) return;
    uint block = gl_WorkGroupID.x + push.groupBase;
    uint start = block * BLOCK4;
    uint end = min(start + BLOCK4, push.count4);
    float mScale = mScales[block], vScale = vScales[block];

    vec4 mLargest = vec4(0), vLargest = vec4(0);
    for (uint i = start + LANE; i < end; i += LANES) {
        Averages now = averages(i, mScale, vScale);
        mLargest = max(mLargest, abs(now.m));
        vLargest = max(vLargest, now.v);
    }
    float newMScale = groupMax(horizontalMax(mLargest));
    float newVScale = groupMax(horizontalMax(vLargest));
    float perM = newMScale > 0 ? 1.0 / newMScale : 0.0;
    float perV = newVScale > 0 ? 1.0 / newVScale : 0.0;

    for (uint i = start + LANE; i < end; i += LANES) {
        Averages now = averages(i, mScale, vScale);
#ifdef RATES_EACH
        vec4 multiplier = LOAD4(rates, i);
#else
        const float multiplier = 1.0;
#endif
        parameters[i] = (1.0 - multiplier * (state.learningRate * state.weightDecay)) * parameters[i]
            - multiplier * (state.learningRate / state.biasCorrection1) * now.m
                / (sqrt(now.v) / state.rootBiasCorrection2 + state.epsilon);
        mCodes[i] = signedCodes(now.m * perM);
        vCodes[i] = unsignedCodes(now.v * perV);
    }
    if (LANE == 0) {
        mScales[block] = newMScale;
        vScales[block] = newVScale;
    }
}
