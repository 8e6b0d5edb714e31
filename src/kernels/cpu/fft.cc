#include "kernels/cpu/fft.h"

#include <fftw3.h>

#include <bit>
#include <map>
#include <mutex>
#include <tuple>

namespace linnet {
namespace {

/// FFTW's functions, which have other names for each type.
template <class T>
struct Library;
template <>
struct Library<float> {
  using Plan = fftwf_plan;
  using Number = fftwf_complex;
  static constexpr auto kPlan = fftwf_plan_many_dft_r2c;
  static constexpr auto kPlanInverse = fftwf_plan_many_dft_c2r;
  static constexpr auto kRun = fftwf_execute_dft_r2c;
  static constexpr auto kRunInverse = fftwf_execute_dft_c2r;
};
template <>
struct Library<double> {
  using Plan = fftw_plan;
  using Number = fftw_complex;
  static constexpr auto kPlan = fftw_plan_many_dft_r2c;
  static constexpr auto kPlanInverse = fftw_plan_many_dft_c2r;
  static constexpr auto kRun = fftw_execute_dft_r2c;
  static constexpr auto kRunInverse = fftw_execute_dft_c2r;
};

/// The plan of these transforms, made when it is first asked for and kept for good. FFTW makes plans in one
/// thread at a time; an estimate is the same plan every time, where a measured one would change the last bits
/// of results from run to run. The memory is only looked at for its alignment.
template <class T>
typename Library<T>::Plan PlanOf(int64_t n, int64_t count, bool inverse, T* x, std::complex<T>* X) {
  using Of = Library<T>;
  static std::mutex mutex;
  static std::map<std::tuple<int64_t, int64_t, bool>, typename Of::Plan> plans;
  const std::lock_guard lock(mutex);
  typename Of::Plan& plan = plans[{n, count, inverse}];
  if (plan != nullptr) return plan;
  const int size = static_cast<int>(n), rows = static_cast<int>(count), frequencies = size / 2 + 1;
  auto* out = reinterpret_cast<typename Of::Number*>(X);
  plan =
      inverse
          ? Of::kPlanInverse(1, &size, rows, out, nullptr, 1, frequencies, x, nullptr, 1, size, FFTW_ESTIMATE)
          : Of::kPlan(1, &size, rows, x, nullptr, 1, size, out, nullptr, 1, frequencies, FFTW_ESTIMATE);
  return plan;
}

template <class T>
void Run(int64_t n, int64_t count, T* x, std::complex<T>* X) {
  Library<T>::kRun(PlanOf(n, count, false, x, X), x, reinterpret_cast<typename Library<T>::Number*>(X));
}

template <class T>
void RunInverse(int64_t n, int64_t count, std::complex<T>* X, T* x) {
  Library<T>::kRunInverse(PlanOf(n, count, true, x, X), reinterpret_cast<typename Library<T>::Number*>(X), x);
}

}  // namespace

int64_t FftSize(int64_t least) {
  if (least <= 8) return 8;
  const int64_t quarter = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(least - 1))) / 4;
  return (least + quarter - 1) / quarter * quarter;
}

void Fft(int64_t n, int64_t count, float* x, std::complex<float>* X) { Run(n, count, x, X); }
void Fft(int64_t n, int64_t count, double* x, std::complex<double>* X) { Run(n, count, x, X); }
void InverseFft(int64_t n, int64_t count, std::complex<float>* X, float* x) { RunInverse(n, count, X, x); }
void InverseFft(int64_t n, int64_t count, std::complex<double>* X, double* x) { RunInverse(n, count, X, x); }

}  // namespace linnet
