// Inputs read four floats at a time, in the way that is fast for the kernel's FAMILY. On a software rasteriser a
// formatted load is a branch-free 128-bit load per lane, a storage-buffer load a loop over lanes.
//   INPUT4(0, x);  vec4 four = LOAD4(x, i);
#if defined(FAMILY_TEXEL)
#define INPUT4(index, name) layout(binding = index, rgba32f) uniform readonly imageBuffer name
#define LOAD4(name, i) imageLoad(name, int(i))
#else
#define INPUT4(index, name) layout(std430, binding = index) readonly buffer name##Storage { vec4 name[]; }
#define LOAD4(name, i) name[i]
#endif
