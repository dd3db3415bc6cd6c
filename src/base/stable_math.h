// SPDX-License-Identifier: Apache-2.0
// Functions of double numbers whose bits do not depend on the C library: only +, -, *, /, sqrt and
// fma are used.
// For everything outside the kernels that touches a weight: initial values, schedules, bias
// correction, sampling.
// Accuracy: a few units in the last place of a double over the ranges named
// (test/base/test_stable_math.c).
#ifndef STN_BASE_STABLE_MATH_H
#define STN_BASE_STABLE_MATH_H

double stable_exp(double x);           // 0 below -745, infinity above 709.78
double stable_log(double x);           // x > 0; -infinity at 0; NaN below
double stable_cos(double x);           // |x| up to 1e5
double stable_sin(double x);           // |x| up to 1e5
double stable_power(double x, long n); // x to the n-th, by squaring; n may be negative
// A normal deviate (mean 0, deviation 1) from two uniforms in (0, 1). Source: Box and Muller 1958.
double stable_normal(double uniform1, double uniform2);
#endif
