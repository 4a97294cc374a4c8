// Cross-entropy of one row of logits a workgroup: loss = log Σ exp(x − max) − (x[label] − max). GRADIENT_REPLACING
// multiplies the loss by the target's weight and replaces the logits by (softmax − onehot)·weight·lossScale; GRADIENT_NONE tells whether the first largest logit is the label's.
// SMOOTHED gives loss = log Z − (1 − ε)·x[label] − ε·mean(x) + s·(log Z)² in its place, Z = Σ exp(x): label smoothing (Szegedy et al.
// 2016) and the z-loss (Chowdhery et al. 2022, PaLM), with the gradient softmax·(1 + 2s·log Z) − (1 − ε)·onehot − ε/V.
// Where the logits are c·tanh(z/c), CAPPED gives the gradient of z, which is theirs times 1 − tanh².
// A label outside [0, V) is ignored: zero loss, zero gradient, not correct. Columns from V on are padding.
// The sum is kept relative to a running maximum (Milakov, Gimelshein: Online normalizer calculation for softmax, 2018).
#version 450
#extension GL_EXT_control_flow_attributes : require
//! variants FAMILY = TEXEL SUBGROUP SHARED
//! variants GRADIENT = NONE REPLACING
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "lib/step_state.glsl"

layout(std430, binding = 0) writeonly buffer Losses { float losses[]; };        // (n)
#if defined(GRADIENT_REPLACING)
OUTPUT4(1, gradient);     // (n, Vp), the logits' own memory
#else
layout(std430, binding = 1) writeonly buffer Correct { uint correct[]; };       // (n)
#endif
INPUT4(2, logits);                                                              // (n, Vp)
layout(std430, binding = 3) readonly buffer Labels { int labels[]; };           // (n)
#if defined(GRADIENT_REPLACING)
STEP_STATE(4);
layout(std430, binding = 5) readonly buffer Weights { float weights[]; };       // (n), where they are WEIGHTED
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;   // Vp / 4
    uint firstRow; // of this span of the matrices
    uint columns;  // V
#if defined(GRADIENT_REPLACING)
    float cap;     // c
    float smoothing, square; // ε, s
#endif
} push;

#if defined(GRADIENT_REPLACING)
layout(constant_id = 1) const bool CAPPED = false;
layout(constant_id = 2) const bool WEIGHTED = false;
layout(constant_id = 3) const bool SMOOTHED = false;
#endif

const float LOWEST = -3.402823466e38;
const uint BLOCK = 4; // vec4 a turn: one rescaling exponential for sixteen others

uvec4 columnsOf(uint i) { return 4 * i + uvec4(0, 1, 2, 3); }

vec4 masked(vec4 four, uint i) {
    return mix(vec4(LOWEST), four, lessThan(columnsOf(i), uvec4(push.columns)));
}

void main() {
    uint row = gl_WorkGroupID.x + push.groupBase;
    uint start = row * push.width4;
    row += push.firstRow;
    uint label = uint(labels[row]); // a negative label becomes too large a one
    if (label >= push.columns) {
#if defined(GRADIENT_REPLACING)
        for (uint i = LANE; i < push.width4; i += LANES) STORE4(gradient, start + i, vec4(0));
#else
        if (LANE == 0) correct[row] = 0;
#endif
        if (LANE == 0) losses[row] = 0.0;
        return;
    }

    float laneMaximum = LOWEST;
    vec4 laneSum = vec4(0);
    for (uint first = LANE; first < push.width4; first += BLOCK * LANES) {
        vec4 block[BLOCK];
        vec4 maximum = vec4(laneMaximum);
        [[unroll]] for (uint j = 0; j < BLOCK; ++j) {
            uint i = first + j * LANES;
            block[j] = vec4(LOWEST);
            if (i < push.width4) block[j] = masked(LOAD4(logits, start + i), i);
            maximum = max(maximum, block[j]);
        }
        float newMaximum = horizontalMax(maximum);
        laneSum *= exp(laneMaximum - newMaximum);
        [[unroll]] for (uint j = 0; j < BLOCK; ++j) laneSum += exp(block[j] - newMaximum);
        laneMaximum = newMaximum;
    }
    // Every lane reads the label's logit, and the reduction passes it on, before any lane overwrites it.
    float target = groupMax(LOAD4(logits, start + label / 4)[label % 4]);
    float maximum = groupMax(laneMaximum);
    float sum = groupSum(horizontalSum(laneSum) * exp(laneMaximum - maximum));
    float loss = log(sum) - (target - maximum);

#if defined(GRADIENT_REPLACING)
    float logZ = log(sum) + maximum;
    if (SMOOTHED) {
        float laneTotal = 0;
        for (uint i = LANE; i < push.width4; i += LANES) {
            vec4 inside = vec4(lessThan(columnsOf(i), uvec4(push.columns)));
            laneTotal += horizontalSum(mix(vec4(0), LOAD4(logits, start + i) - maximum, bvec4(inside)));
        }
        float mean = groupSum(laneTotal) / float(push.columns);
        loss = log(sum) - (1 - push.smoothing) * (target - maximum) - push.smoothing * mean + push.square * logZ * logZ;
    }
    float weight = WEIGHTED ? weights[row] : 1.0;
    if (LANE == 0) losses[row] = loss * weight;
    float scale = state.lossScale * weight;
    for (uint i = LANE; i < push.width4; i += LANES) {
        uvec4 column = columnsOf(i);
        vec4 logit = masked(LOAD4(logits, start + i), i);
        vec4 probability = exp(logit - maximum) / sum;
        vec4 four = (probability - vec4(equal(column, uvec4(label)))) * scale;
        if (SMOOTHED) {
            four = probability * (1 + 2 * push.square * logZ) - (1 - push.smoothing) * vec4(equal(column, uvec4(label)));
            four = mix(vec4(0), (four - push.smoothing / float(push.columns)) * scale, lessThan(column, uvec4(push.columns)));
        }
        if (CAPPED) {
            vec4 tangent = logit / push.cap;
            four *= mix(vec4(0), 1 - tangent * tangent, lessThan(column, uvec4(push.columns)));
        }
        STORE4(gradient, start + i, four);
    }
#else
    if (LANE == 0) losses[row] = loss;
    uint firstLargest = push.columns;
    for (uint i = LANE; i < push.width4; i += LANES) {
        bvec4 largest = equal(masked(LOAD4(logits, start + i), i), vec4(maximum));
        uvec4 column = mix(uvec4(push.columns), columnsOf(i), largest);
        firstLargest = min(firstLargest, min(min(column.x, column.y), min(column.z, column.w)));
    }
    firstLargest = groupMin(firstLargest);
    if (LANE == 0) correct[row] = firstLargest == label ? 1 : 0;
#endif
}
