// The logistic function, safe for any input: the exponential's argument is never positive.
vec4 sigmoid(vec4 x) {
    vec4 e = exp(-abs(x));
    return mix(e, vec4(1), greaterThanEqual(x, vec4(0))) / (1 + e);
}
