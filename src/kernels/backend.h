// Backend: what a device must provide. Coarse functions on whole tensors, each a forward or a backward pass
// that a good programmer of the device would write as one kernel. The ops (ops/) check shapes and allocate;
// backends compute.
//
// Conventions: N rows, C width, H heads of D = C / H channels, V vocabulary, S sequences. Tensors are float32
// unless a type is named; vectors of parameters may have unit extents ([1, 1, C]). Outputs come last. "+="
// says that a function adds to what is there. Gradients are named d<variable>. Functions do not throw once
// their arguments are checked.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/sequences.h"
#include "tensor/tensor.h"

namespace linnet {

/// kEluPlusOne: x + 1 above 0, e^x below.
enum class Activation { kNone, kTanh, kSigmoid, kRelu2, kExp, kEluPlusOne };

/// What a gate does with z: sigmoid(z), z sigmoid(z), or z as it is.
enum class GateKind { kSigmoid, kSilu, kPlain };

/// Whose share a mix of token shift is, with h' the row before h: h + (h' - h) mix (RWKV-6 and 7), or
/// h' + (h - h') mix (RWKV-4 and 5).
enum class MixShare { kPrevious, kNow };

/// One product with a weight matrix: x [N, in], w [out, in] if `out_in`, else [in, out]; y [N, out].
struct Projection {
  Tensor x, w;
  bool out_in;
  Tensor y;
};

/// Inputs of the WKV-4 recurrence: k, v [N, C]; w [C], the logarithm of the decay's rate; u [C], the bonus of
/// the present token.
struct Wkv4Inputs {
  Tensor k, v, w, u;
};

/// Inputs of the WKV-6 recurrence: r, k, v [N, C]; w, the logarithm of the decay's rate, [N, C] or, the same
/// for all rows as in WKV-5, [C]; u [C], the bonus of the present token.
struct Wkv6Inputs {
  Tensor r, k, v, w, u;
};

/// Inputs of the WKV-7 recurrence, each [N, C]; `w` is the decay before its activation.
struct Wkv7Inputs {
  Tensor r, w, k, v, a, b;
};

/// Inputs of a diagonal scan: the factors a, [N, C] or, the same for all rows, [C]; what arrives, b [N, C].
struct ScanInputs {
  Tensor a, b;
};

/// Inputs of SRU's recurrence: what arrives x, the gates before state and activation z_f, z_r, and the way
/// round, skip, [N, C]; how the gates see the state, v_f, v_r [C].
struct SruInputs {
  Tensor x, z_f, z_r, skip, v_f, v_r;
};

/// Whether the elements of a row are real, or complex: the first half real, the second imaginary parts.
enum class NumberKind { kReal, kComplex };

/// Parameters of P eigenvalues, [P] each (the shape does not matter): re, im as the kind has them; an empty
/// im is 0. step may be empty or have fewer elements, of which eigenvalue n has that with the index n modulo
/// their number.
struct EigenInputs {
  Tensor re, im, step;
};

/// The eigenvalue a of a discrete state space, and the factor `gain` of what arrives:
///   kExp             a = exp(-re + i im)                   gain = e^step
///   kStable          a = exp(-e^re + i e^im)               gain = e^step
///   kZeroOrderHold   a = exp(e^step l), l = -e^re + i im   gain = (a - 1) / l
/// Without a step, e^step is 1.
enum class EigenKind { kExp, kStable, kZeroOrderHold };

/// Inputs of a diagonal state space per feature, H of them with M modes each: u [N, H]; the eigenvalues a and
/// weights c [2, M, H], real parts first.
struct StateSpaceInputs {
  Tensor u, a, c;
};

/// A state space in continuous time whose matrix is diagonal plus low rank, diag(Lambda) - P P*, with
/// Lambda = -e^re + i im: M complex modes, re, im [M] and P, B [2, M], which H features share; the logarithm
/// of the step of each feature, [H]. M more modes are the conjugates of these.
struct DplrParameters {
  Tensor re, im, P, B, step;
};

/// One in steps, of each of H features, [2, M, H] each, real parts first. With s = 2 Re sum_m p x_{t-1},
/// x_t = a x_{t-1} - q s + b u_t and y_t = 2 Re sum_m c x_t.
struct DplrInputs {
  Tensor a, p, q, b, c;
};

/// What a diagonal scan makes of a, b and the row h before: the sum a h + b; the running average a h +
/// (1 - a) b; or the sum in complex numbers, of which the first C / 2 channels are the real parts.
enum class ScanKind { kSum, kAverage, kComplex };

/// Inputs of attention: q, k [N, K] and v [N, C].
struct AttentionInputs {
  Tensor q, k, v;
};

/// The rows that attention has seen of each sequence: keys [slots, H, capacity, K / H], values [slots, H,
/// capacity, C / H], of which the first length [slots, 1] are taken. With one head, H may be left out.
struct AttentionCache {
  StateRef keys, values, length;
};

/// A score is cap tanh(scale <q, k>); with a cap of 0, scale <q, k>.
struct SoftCap {
  float scale, cap;
};

/// Inputs of ROSA: q, k, v [N, C], of which only the signs count; what it says for a bit of 0 and of 1 in
/// each channel, zero and one [C].
struct RosaInputs {
  Tensor q, k, v, zero, one;
};

/// What ROSA has seen of each sequence in each of G groups of channels: the automata of keys (kernels/
/// suffix_automaton.h), nodes [slots, G, 2 capacity + 1, 3 + symbols] and cursors [slots, G, 4]; values
/// [slots, G, capacity].
struct RosaMemory {
  StateRef nodes, cursors, values;
};

/// The cells of recurrent networks whose steps depend on each other through matrices (Backend::CellForward).
enum class CellKind { kTanh, kGru, kLstm };

/// Inputs of a cell of G gates: of each, what it gets from the layer below, x [N, C], and its matrix of the
/// state, u [C, C] (out, in), of any real type.
struct CellInputs {
  std::vector<Tensor> x, u;
};

/// What CellForward keeps for CellBackward: of each gate its values [N, C]; the contents c of an LSTM [N, C].
struct CellSaved {
  std::vector<Tensor> gates;
  Tensor c;
};

/// Inputs of the average of an attention-free transformer: k, v [N, C]; the bias of each row for every
/// position, w [N, capacity], or empty.
struct AftInputs {
  Tensor k, v, w;
};

/// Inputs of AFT-conv's average: a key a head, k [N, H]; v [N, C]; by how much keys rise with the distance of
/// their rows, from 0 on, w [H, window].
struct AftConvInputs {
  Tensor k, v, w;
};

/// The last `window` rows of a sequence, from the newest on, and one that stands for all older ones: its key
/// is the logarithm of the sum of their e^k, its value their average. keys [slots, window + 1, H], values
/// [slots, window + 1, C].
struct AftConvState {
  StateRef keys, values;
};

/// What AftConv keeps for AftConvBackward: logarithms of the denominators and, at each row, the key and value
/// of what is older than its window.
struct AftConvSaved {
  Tensor masses, older_keys, older_values;  // [N, H], [N, H], [N, C]
};

/// What Wkv7Forward keeps for Wkv7Backward.
struct Wkv7Saved {
  Tensor states;  // [S + number of chunks, H, D, D]: the state at every chunk border
  Tensor u;       // [N, C]: S_{t-1} a_t
};

/// One parameter as the optimizer sees it.
struct AdamWItem {
  Tensor parameter;  // f32, or bf16 with a float32 `master`
  Tensor master;     // empty when the parameter is itself float32
  Tensor gradient;   // f32
  Tensor m, v;       // first and second moment, f32
  float lr = 0, weight_decay = 0;
};

struct AdamWOptions {
  float beta1 = 0.9f, beta2 = 0.99f, eps = 1e-18f;
  int64_t step = 1;          // counts from 1; for the bias correction
  float gradient_scale = 1;  // applied to the gradients first (clipping, accumulation)
};

class Backend {
 public:
  virtual ~Backend() = default;
  /// The backend of a device.
  static Backend& For(Device device);
  /// Makes `backend`, which must outlive its use, the one of a device.
  static void Use(Device device, Backend& backend);

  // Copies.

  /// y = x, converted to the type of y: real numbers of any type, blocks included, to any but f64. Sizes are
  /// equal, and rows of blocks whole. Throws Error for other types.
  virtual void Convert(const Tensor& x, const Tensor& y) = 0;
  /// y += x.
  virtual void AddTo(const Tensor& x, const Tensor& y) = 0;
  virtual void Scale(float factor, const Tensor& y) = 0;
  /// y[i] = x[rows[i]]; x [M, C] of any type, y [N, C] f32.
  virtual void Gather(const Tensor& x, std::span<const int> rows, const Tensor& y) = 0;
  /// y[rows[i]] += x[i]. Deterministic.
  virtual void ScatterAdd(const Tensor& x, std::span<const int> rows, const Tensor& y) = 0;
  /// parts[p] = columns [p C, (p + 1) C) of x; x [N, P C], parts [P, N, C].
  virtual void SplitColumns(const Tensor& x, const Tensor& parts) = 0;
  /// The other way round.
  virtual void JoinColumns(const Tensor& parts, const Tensor& x) = 0;

  // Dense products.

  /// For each of `products`, which do not depend on each other: y = x W, where x and W are both f32, or x is
  /// bf16 and W of any other real type, which counts as its values rounded to bf16 (those of an f16 [in,
  /// out], as they are); sums are float32, y is f32. A row of y is the same to the bit whatever other rows
  /// there are.
  virtual void Project(std::span<const Projection> products) = 0;
  /// c = op(a) op(b), or c += where `accumulate`; op transposes where the flag says so. a and b are both f32,
  /// or a is bf16 and b of any other real type, which counts as its values rounded to bf16; c [M, N] is f32.
  virtual void MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor& c,
                      bool accumulate) = 0;
  /// y = act(y + bias); bias may be empty.
  virtual void BiasActivate(const Tensor& bias, Activation act, const Tensor& y) = 0;
  /// dz = dy act'(z), computed from y = act(z).
  virtual void ActivateBackward(const Tensor& y, const Tensor& dy, Activation act, const Tensor& dz) = 0;
  /// sum[c] += sum over rows of x[n, c].
  virtual void SumRows(const Tensor& x, const Tensor& sum) = 0;

  // Row-wise.

  virtual void Add(const Tensor& a, const Tensor& b, const Tensor& y) = 0;
  /// y = a + (b - a) m.
  virtual void Lerp(const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& y) = 0;
  virtual void LerpBackward(const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& dy,
                            const Tensor& da, const Tensor& db, const Tensor& dm) = 0;
  /// y = x gate(z).
  virtual void Gate(const Tensor& x, const Tensor& z, GateKind kind, const Tensor& y) = 0;
  virtual void GateBackward(const Tensor& x, const Tensor& z, GateKind kind, const Tensor& dy,
                            const Tensor& dx, const Tensor& dz) = 0;
  /// y[n] = x[n] M_n, where row n of `matrices` [N, in * out] is M_n [in, out].
  virtual void RowMatMul(const Tensor& x, const Tensor& matrices, const Tensor& y) = 0;
  /// dx and dmatrices are set.
  virtual void RowMatMulBackward(const Tensor& x, const Tensor& matrices, const Tensor& dy, const Tensor& dx,
                                 const Tensor& dmatrices) = 0;
  /// Normalises each of `groups` equal parts of each row to mean 0 and (biased) variance 1, then scales by w
  /// and shifts by b [C]. mean, rstd [N, groups] are kept for the backward pass and may be empty.
  virtual void GroupNorm(const Tensor& x, const Tensor& w, const Tensor& b, int groups, float eps,
                         const Tensor& y, const Tensor& mean, const Tensor& rstd) = 0;
  /// dx is set; dw += and db +=.
  virtual void GroupNormBackward(const Tensor& x, const Tensor& w, const Tensor& mean, const Tensor& rstd,
                                 const Tensor& dy, const Tensor& dx, const Tensor& dw, const Tensor& db) = 0;

  // Along time.

  /// ys[i] = x_t + (x_{t-1} - x_t) p, where p is mix[i] or, for MixShare::kNow, 1 - mix[i]. A mix is [C], or
  /// [N, C] if it differs from row to row. The row before a sequence's first is its state [slots, C]; its
  /// last row becomes the state, unless state.out is empty.
  virtual void ShiftMix(const Tensor& x, std::span<const Tensor> mix, MixShare share,
                        const Sequences& sequences, const StateRef& state, std::span<const Tensor> ys) = 0;
  /// dx is set, dmix[i] +=; dstate (may be empty) [slots, C] +=. dlast (may be empty) [slots, C] is the
  /// gradient of the state that the sequence leaves.
  virtual void ShiftMixBackward(const Tensor& x, std::span<const Tensor> mix, MixShare share,
                                const Sequences& sequences, const Tensor& state_in,
                                std::span<const Tensor> dys, const Tensor& dlast, const Tensor& dx,
                                std::span<const Tensor> dmix, const Tensor& dstate) = 0;

  /// Per channel, with the decay d = exp(-exp(w)):
  ///   y_t = (A_{t-1} + e^{u + k_t} v_t) / (B_{t-1} + e^{u + k_t})
  ///   A_t = d A_{t-1} + e^{k_t} v_t      B_t = d B_{t-1} + e^{k_t}
  /// The state [slots, 3, C] is a, b, p with A = a e^p, B = b e^p, which no key can make overflow.
  /// `snapshots` [Wkv4Snapshots, 3, C] is kept for the backward pass and may be empty.
  virtual void Wkv4Forward(const Wkv4Inputs& in, const Sequences& sequences, const StateRef& state,
                           const Tensor& y, const Tensor& snapshots) = 0;
  virtual int Wkv4Snapshots(const Sequences& sequences) const = 0;
  /// dk and dv are set, dw and du +=. dstate_out, dstate_in [slots, 3, C] may be empty; dstate_in +=.
  virtual void Wkv4Backward(const Wkv4Inputs& in, const Tensor& snapshots, const Sequences& sequences,
                            const StateRef& state, const Tensor& dy, const Tensor& dstate_out,
                            const Wkv4Inputs& gradients, const Tensor& dstate_in) = 0;

  /// y_t = r_t (S_{t-1} + diag(u) k_t^T v_t);  S_t = diag(d_t) S_{t-1} + k_t^T v_t;  d = exp(-exp(w)).
  /// The state is [slots, H, D key, D value]. `snapshots` [Wkv6Snapshots, H, D, D] is kept for the backward
  /// pass and may be empty.
  virtual void Wkv6Forward(const Wkv6Inputs& in, const Sequences& sequences, int heads, const StateRef& state,
                           const Tensor& y, const Tensor& snapshots) = 0;
  virtual int Wkv6Snapshots(const Sequences& sequences) const = 0;
  /// The five gradients are set: those of u, and of a w that is the same for all rows, are [S, C], one row a
  /// sequence. dstate_out, dstate_in [slots, H, D, D] may be empty; dstate_in +=.
  virtual void Wkv6Backward(const Wkv6Inputs& in, const Tensor& snapshots, const Sequences& sequences,
                            int heads, const Tensor& dy, const Tensor& dstate_out,
                            const Wkv6Inputs& gradients, const Tensor& dstate_in) = 0;

  /// S_t = S_{t-1} (diag(d_t) + a_t^T b_t) + v_t^T k_t;  y_t = S_t r_t;  d = exp(-e^{-1/2} sigmoid(w)).
  /// The state is [slots, H, D value, D key], float32. `saved` may be empty (no backward pass to come).
  virtual void Wkv7Forward(const Wkv7Inputs& in, const Sequences& sequences, int heads, const StateRef& state,
                           const Tensor& y, const Wkv7Saved& saved) = 0;
  /// Number of state snapshots that Wkv7Forward leaves in saved.states.
  virtual int Wkv7Snapshots(const Sequences& sequences) const = 0;
  /// The six gradients are set. dstate_out, dstate_in [slots, H, D, D] may be empty; dstate_in +=.
  virtual void Wkv7Backward(const Wkv7Inputs& in, const Wkv7Saved& saved, const Sequences& sequences,
                            int heads, const Tensor& dy, const Tensor& dstate_out,
                            const Wkv7Inputs& gradients, const Tensor& dstate_in) = 0;

  /// Appends the rows of k and v to the caches, of which past[s] rows are taken by sequence s, and lets each
  /// row of q attend to all up to its own: y_t = sum_{j <= t} softmax_j(score_j) v_j, head by head.
  virtual void AttentionForward(const AttentionInputs& in, const Sequences& sequences,
                                std::span<const int> past, SoftCap soft, const AttentionCache& cache,
                                const Tensor& y) = 0;
  /// `keys` and `values` are the caches after the batch; `arrived`.k, .v the gradients of them (may be
  /// empty). `gradients` are set; `before`.k, .v, those of the caches before the batch, may be empty and are
  /// +=.
  virtual void AttentionBackward(const Tensor& q, const Sequences& sequences, std::span<const int> past,
                                 SoftCap soft, const Tensor& keys, const Tensor& values, const Tensor& y,
                                 const Tensor& dy, const AttentionInputs& arrived,
                                 const AttentionInputs& gradients, const AttentionInputs& before) = 0;

  /// y_t = sum_j e^{k_j + w_tj} v_j / sum_j e^{k_j + w_tj} over all rows j <= t that the sequence has seen,
  /// channel by channel; w_tj counts where t - j < window, and is 0 elsewhere. Appends the rows of k and v to
  /// the caches, [slots, capacity, C], of which past[s] rows are taken. The largest k of each channel is
  /// taken out of all exponents; one that is then below -80 is held there. `sums` [N, C], the denominators,
  /// is kept for the backward pass and may be empty.
  virtual void AftForward(const AftInputs& in, const Sequences& sequences, std::span<const int> past,
                          int64_t window, const AttentionCache& cache, const Tensor& y,
                          const Tensor& sums) = 0;
  /// `keys` and `values` are the caches after the batch. `gradients` are set; `before`.k, .v, those of the
  /// caches before the batch, may be empty and are +=; so may `arrived`.k, .v, those of the caches after it.
  virtual void AftBackward(const Tensor& w, const Sequences& sequences, std::span<const int> past,
                           int64_t window, const Tensor& keys, const Tensor& values, const Tensor& y,
                           const Tensor& sums, const Tensor& dy, const AftInputs& arrived,
                           const AftInputs& gradients, const AftInputs& before) = 0;

  /// AFT-conv's average in each head: y_t = sum_{j <= t} E_tj v_j / sum_{j <= t} E_tj with
  /// E_tj = e^{k_j + w_{t-j}}, or e^{k_j} beyond the window. `saved` may be empty.
  virtual void AftConv(const AftConvInputs& in, const Sequences& sequences, const AftConvState& state,
                       const Tensor& y, const AftConvSaved& saved) = 0;
  /// `d` are set. `arrived`.k, .v, the gradients of the states' ends, and `before`.k, .v, those of their
  /// beginnings, may be empty; before +=.
  virtual void AftConvBackward(const AftConvInputs& in, const Sequences& sequences, const AftConvState& state,
                               const AftConvSaved& saved, const Tensor& y, const Tensor& dy,
                               const AftConvInputs& arrived, const AftConvInputs& d,
                               const AftConvInputs& before) = 0;

  /// y_t = x_t / (<q_t, z_t> + eps) in each head, with z_t = z_{t-1} + k_t. The state z is [slots, C]; all
  /// z_t [N, C] are kept for the backward pass in `sums`, which may be empty.
  virtual void DivideByMass(const Tensor& x, const Tensor& q, const Tensor& k, int heads, float eps,
                            const Sequences& sequences, const StateRef& state, const Tensor& y,
                            const Tensor& sums) = 0;
  /// dx, dq and dk are set. dstate_out, dstate_in may be empty; dstate_in +=.
  virtual void DivideByMassBackward(const Tensor& q, const Tensor& y, const Tensor& sums, int heads,
                                    float eps, const Sequences& sequences, const Tensor& dy,
                                    const Tensor& dstate_out, const Tensor& dx, const Tensor& dq,
                                    const Tensor& dk, const Tensor& dstate_in) = 0;

  /// Groups of `bits` channels are symbols. At each row, the longest suffix of the q so far is looked for
  /// that occurs in the k before this row, at the latest such place; y has the bits of the v that follows
  /// there, as `one` and `zero` say. Where no suffix occurs, y is 0 or, if `unmatched_is_zero`, `zero`.
  /// past[s]: the rows that the memory has of sequence s.
  virtual void Rosa(const RosaInputs& in, int bits, bool unmatched_is_zero, const Sequences& sequences,
                    std::span<const int> past, const RosaMemory& memory, const Tensor& y) = 0;

  /// One step after the other, each of all sequences that have it. With h the state's first row of a slot
  /// [slots, V, C], y_t the new h, and x_g, U_g of gate g:
  ///   kTanh  h' = tanh(x + U h)
  ///   kGru   z, r = sigmoid(x + U h), n = tanh(x_n + U_n (r h)), h' = z n + (1 - z) h; gates z, r, n
  ///   kLstm  i, f, o = sigmoid(x + U h), g = tanh(x_g + U_g h), c' = f c + i g, h' = o tanh(c'); gates i, f,
  ///   o, g,
  ///          and c is the state's second row
  /// `saved` may be empty (no backward pass to come).
  virtual void CellForward(CellKind kind, const CellInputs& in, const Sequences& sequences,
                           const StateRef& state, const Tensor& y, const CellSaved& saved) = 0;
  /// The gradients of x are set; those of u, f32, are += where they are not empty. dstate_out, dstate_in
  /// [slots, V, C] may be empty; dstate_in +=.
  virtual void CellBackward(CellKind kind, const CellInputs& in, const Sequences& sequences,
                            const Tensor& state_in, const Tensor& y, const CellSaved& saved, const Tensor& dy,
                            const Tensor& dstate_out, const CellInputs& gradients,
                            const Tensor& dstate_in) = 0;

  // RWKV-7's row-wise pieces.

  /// kk = k k_k, made a unit vector per head (norm at least 1e-12); removal = -kk; replacement = kk a;
  /// key = k (1 + (a - 1) k_a). inverse_norm [N, H] is kept for the backward pass and may be empty.
  virtual void MakeKeys(const Tensor& k, const Tensor& a, const Tensor& k_k, const Tensor& k_a, int heads,
                        const Tensor& key, const Tensor& removal, const Tensor& replacement,
                        const Tensor& inverse_norm) = 0;
  /// dk, da are set; dk_k, dk_a +=.
  virtual void MakeKeysBackward(const Tensor& k, const Tensor& a, const Tensor& k_k, const Tensor& k_a,
                                const Tensor& inverse_norm, const Tensor& dkey, const Tensor& dremoval,
                                const Tensor& dreplacement, const Tensor& dk, const Tensor& da,
                                const Tensor& dk_k, const Tensor& dk_a) = 0;
  /// out = (y + v <r k r_k>_head) g.
  virtual void BonusGate(const Tensor& y, const Tensor& r, const Tensor& k, const Tensor& v,
                         const Tensor& r_k, const Tensor& g, int heads, const Tensor& out) = 0;
  struct BonusGateGradients {
    Tensor y, r, k, v, r_k, g;  // set, but r_k +=
  };
  virtual void BonusGateBackward(const Tensor& y, const Tensor& r, const Tensor& k, const Tensor& v,
                                 const Tensor& r_k, const Tensor& g, int heads, const Tensor& dout,
                                 const BonusGateGradients& gradients) = 0;

  // Loss and optimizer.

  /// Sum over rows of -log softmax(logits)[target], in double. Rows whose target is negative count nothing.
  /// Where `gradient` is set, logits become scale * (softmax - onehot), plus l2_wrap * (the row's maximum) at
  /// the first maximum.
  virtual double SoftmaxLoss(const Tensor& logits, std::span<const int> targets, bool gradient, float scale,
                             float l2_wrap) = 0;
  /// Sum of squares over all tensors, in double; not finite if any element is not.
  virtual double SumSquares(std::span<const Tensor> tensors) = 0;
  /// p -= lr (m^ / (sqrt(v^) + eps) + weight_decay p) with bias-corrected moments, over all items in one
  /// pass.
  virtual void AdamW(std::span<const AdamWItem> items, const AdamWOptions& options) = 0;

  // Diagonal recurrences and what models with them need.

  /// gelu(x), in its tanh form.
  virtual void Gelu(const Tensor& x, const Tensor& y) = 0;
  virtual void GeluBackward(const Tensor& x, const Tensor& dy, const Tensor& dx) = 0;
  /// y = x w, with one factor w [C] a channel.
  virtual void ScaleColumns(const Tensor& x, const Tensor& w, NumberKind kind, const Tensor& y) = 0;
  /// dx is set, dw +=.
  virtual void ScaleColumnsBackward(const Tensor& x, const Tensor& w, NumberKind kind, const Tensor& dy,
                                    const Tensor& dx, const Tensor& dw) = 0;

  /// y_t = x_{t-1}, where the row before a sequence's first is its state [slots, C]; its last row becomes the
  /// state.
  virtual void Previous(const Tensor& x, const Sequences& sequences, const StateRef& state,
                        const Tensor& y) = 0;
  /// dx is set. dlast (may be empty) [slots, C] is the gradient of the state that the sequence leaves; dstate
  /// (may be empty) +=.
  virtual void PreviousBackward(const Tensor& dy, const Sequences& sequences, const Tensor& dlast,
                                const Tensor& dx, const Tensor& dstate) = 0;

  /// h_t = a_t h_{t-1} + b_t and its kin (ScanKind), channel by channel. The state [slots, C] is the last h.
  virtual void Scan(const ScanInputs& in, ScanKind kind, const Sequences& sequences, const StateRef& state,
                    const Tensor& h) = 0;
  /// The gradients are set: that of an a that is the same for all rows is [S, C], one row a sequence.
  /// dstate_out, dstate_in [slots, C] may be empty; dstate_in +=.
  virtual void ScanBackward(const ScanInputs& in, ScanKind kind, const Sequences& sequences,
                            const Tensor& state_in, const Tensor& h, const Tensor& dh,
                            const Tensor& dstate_out, const ScanInputs& gradients,
                            const Tensor& dstate_in) = 0;

  /// Per channel, f = sigmoid(z_f + v_f c_{t-1}), c_t = f c_{t-1} + (1 - f) x, r = sigmoid(z_r + v_r
  /// c_{t-1}), h = r c_t + (1 - r) skip. The state [slots, C] is c, of which all rows [N, C] are kept for the
  /// backward pass.
  virtual void Sru(const SruInputs& in, const Sequences& sequences, const StateRef& state, const Tensor& c,
                   const Tensor& h) = 0;
  /// The gradients are set, those of v_f and v_r as [S, C], one row a sequence. dstate_out, dstate_in may be
  /// empty; dstate_in +=.
  virtual void SruBackward(const SruInputs& in, const Sequences& sequences, const Tensor& state_in,
                           const Tensor& c, const Tensor& dh, const Tensor& dstate_out,
                           const SruInputs& gradients, const Tensor& dstate_in) = 0;

  /// Per channel, u_t = (v_{t-1} + x_t) / 2, spikes s_t = [u_t >= 1], v_t = u_t (1 - s_t). The state [slots,
  /// C] is v; u is kept for the backward pass and may be empty.
  virtual void Lif(const Tensor& x, const Sequences& sequences, const StateRef& state, const Tensor& u,
                   const Tensor& spikes) = 0;
  /// With 1 / (1 + (pi (u - 1))^2) for the slope of a spike. dx is set. dstate_out, dstate_in [slots, C] may
  /// be empty; dstate_in +=.
  virtual void LifBackward(const Tensor& u, const Sequences& sequences, const Tensor& dspikes,
                           const Tensor& dstate_out, const Tensor& dx, const Tensor& dstate_in) = 0;
  /// y = [x >= 0].
  virtual void Step(const Tensor& x, const Tensor& y) = 0;
  /// With 1 / (1 + (pi x)^2) for the slope.
  virtual void StepBackward(const Tensor& x, const Tensor& dy, const Tensor& dx) = 0;

  /// x_t[m] = a[m] x_{t-1}[m] + u_t, y_t = 2 Re sum_m c[m] x_t[m], in each feature. The state is [slots, 2,
  /// M, H]. `snapshots` [StateSpaceSnapshots, 2, M, H] is kept for the backward pass and may be empty.
  virtual void StateSpace(const StateSpaceInputs& in, const Sequences& sequences, const StateRef& state,
                          const Tensor& y, const Tensor& snapshots) = 0;
  virtual int StateSpaceSnapshots(const Sequences& sequences) const = 0;
  /// du is set, and da and dc as [S, 2, M, H], one a sequence. dstate_out, dstate_in may be empty; dstate_in
  /// +=.
  virtual void StateSpaceBackward(const StateSpaceInputs& in, const Tensor& snapshots,
                                  const Sequences& sequences, const Tensor& dy, const Tensor& dstate_out,
                                  const StateSpaceInputs& gradients, const Tensor& dstate_in) = 0;
  /// The state space d, but for its c, as the bilinear rule has it: with delta half the step, D = 1 / (1 -
  /// delta Lambda), and s = 1 / (1 + 2 Re sum P* q),
  ///   a = (1 + delta Lambda) D    q = delta D P    p = 2 s P* D
  ///   b = b' - s q 2 Re sum P* b' with b' = 2 delta D B
  virtual void Bilinear(const DplrParameters& p, const DplrInputs& d) = 0;
  /// d: the gradients of a, p, q, b. Those of the parameters are +=.
  virtual void BilinearBackward(const DplrParameters& p, const DplrInputs& d,
                                const DplrParameters& gradients) = 0;
  /// The first rows K [T, H] of the kernel that the state space is as a convolution.
  virtual void DplrKernel(const DplrInputs& d, const Tensor& K) = 0;
  /// The gradients are set.
  virtual void DplrKernelBackward(const DplrInputs& d, const Tensor& dK, const DplrInputs& gradients) = 0;
  /// The state space as a recurrence. The state [slots, 2, M, H] is x. `snapshots` [DplrSnapshots, 2, M, H]
  /// is kept for the backward pass and may be empty.
  virtual void DplrRecurrence(const Tensor& u, const DplrInputs& d, const Sequences& sequences,
                              const StateRef& state, const Tensor& y, const Tensor& snapshots) = 0;
  virtual int DplrSnapshots(const Sequences& sequences) const = 0;
  /// du is set, the other gradients +=. dstate_out, dstate_in may be empty; dstate_in +=.
  virtual void DplrRecurrenceBackward(const Tensor& u, const DplrInputs& d, const Tensor& snapshots,
                                      const Sequences& sequences, const Tensor& dy, const Tensor& dstate_out,
                                      const Tensor& du, const DplrInputs& gradients,
                                      const Tensor& dstate_in) = 0;
  /// y_t = sum_{s <= t} K_{t-s} u_s in each sequence, feature by feature; K [T, H] counts as 0 beyond T.
  virtual void LongConvolution(const Tensor& u, const Tensor& K, const Sequences& sequences,
                               const Tensor& y) = 0;
  /// du is set, dK +=.
  virtual void LongConvolutionBackward(const Tensor& u, const Tensor& K, const Sequences& sequences,
                                       const Tensor& dy, const Tensor& du, const Tensor& dK) = 0;
  /// a and gain [2, P], real parts first.
  virtual void Eigenvalues(const EigenInputs& p, EigenKind kind, const Tensor& a, const Tensor& gain) = 0;
  /// The gradients are +=, and may be empty.
  virtual void EigenvaluesBackward(const EigenInputs& p, EigenKind kind, const Tensor& da,
                                   const Tensor& dgain, const EigenInputs& gradients) = 0;
};

}  // namespace linnet
