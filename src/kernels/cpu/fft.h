// Fourier transforms of real rows, by FFTW (https://fftw.org), which is included in fft.cc alone.
#pragma once

#include <complex>
#include <cstdint>

namespace linnet {

/// An even size of at least `least` that has a fast transform: 4 to 7 times a power of two.
int64_t FftSize(int64_t least);

/// X[k] = sum_t x[t] e^{-2 pi i k t / n} for k <= n / 2, of `count` rows of n numbers that lie one after the
/// other, as do the results. Memory comes from hwy::AllocateAligned; n from FftSize. Any number of threads
/// may transform at a time.
void Fft(int64_t n, int64_t count, float* x, std::complex<float>* X);
void Fft(int64_t n, int64_t count, double* x, std::complex<double>* X);
/// The other way round, times n. Destroys X.
void InverseFft(int64_t n, int64_t count, std::complex<float>* X, float* x);
void InverseFft(int64_t n, int64_t count, std::complex<double>* X, double* x);

}  // namespace linnet
