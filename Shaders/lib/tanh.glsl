// tanh, safe and near to its last bits for any argument: the exponential's is never positive, and where 1 − exp(−2|x|) would
// lose digits the series takes over. GLSL's own may overflow, as a quotient of exponentials.
vec4 safeTanh(vec4 x) {
    vec4 e = exp(-2 * abs(x)), square = x * x;
    vec4 series = x - x * square * (1.0 / 3 - square * (2.0 / 15 - square * (17.0 / 315)));
    return mix(sign(x) * ((1 - e) / (1 + e)), series, lessThan(abs(x), vec4(0.2)));
}
