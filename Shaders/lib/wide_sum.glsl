// A sum that carries its own rounding error (Knuth's TwoSum), about twice the precision of a float.
struct WideSum {
    float high, low;
};

void add(inout WideSum sum, float value) {
    precise float high = sum.high + value;
    precise float arrived = high - sum.high;
    precise float lost = (sum.high - (high - arrived)) + (value - arrived);
    sum.high = high;
    sum.low += lost;
}

float groupSum(WideSum sum) {
    float high = groupSum(sum.high);
    return high + groupSum(sum.low);
}
