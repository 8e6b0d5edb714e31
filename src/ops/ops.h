// The ops: functions from tensors to tensors that check their shapes, call the backend, and record their
// derivative on the tape. Each is about one line of a paper. N rows, C width, H heads of D channels, V
// vocabulary, S sequences.
//
// Rows are independent of each other in all of them but ShiftMix and the recurrences, which read Sequences to
// know where a row has a predecessor and keep a state for what comes before the first. Every op throws Error
// on shapes that do not fit.
#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"
#include "ops/tape.h"

namespace linnet::ops {

using Act = Activation;

/// How a weight matrix lies in memory. Checkpoints hold most as [out, in] and the low-rank maps of RWKV as
/// [in, out].
enum class WeightLayout { kOutIn, kInOut };

// Row-wise.

/// Rows of `table` [V, C], of any real type, -> [N, C] f32. Ids must lie in [0, V).
Tensor Embedding(const Tensor& table, std::span<const int> ids);
/// Rows of x [N, C] -> [rows.size(), C]; x itself if `rows` is empty.
Tensor Rows(const Tensor& x, std::span<const int> rows);
/// act(x W + bias): x [N, in] f32, W of any real type but f64 -> [N, out] f32. Unless W is f32, x and W are
/// rounded to bf16 for their product, which is summed in float32. Gradients of weights are float32.
Tensor Linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, Act act = Act::kNone,
              WeightLayout layout = WeightLayout::kOutIn);
/// The arguments of a Linear.
struct Product {
  Tensor x, weight, bias = {};
  Act act = Act::kNone;
  WeightLayout layout = WeightLayout::kOutIn;
};
/// Several that do not depend on each other, at once: a single row is a matter of how fast weights are read,
/// and there are fewer moments in which none is.
std::vector<Tensor> Linears(const std::vector<Product>& products);
Tensor Add(const Tensor& a, const Tensor& b);
/// a + (b - a) m
Tensor Lerp(const Tensor& a, const Tensor& b, const Tensor& m);
/// x sigmoid(z), x silu(z), or x z
Tensor Gate(const Tensor& x, const Tensor& z, GateKind kind);
/// x Phi(x) with the normal distribution's Phi, in its tanh form (Hendrycks and Gimpel, arXiv:1606.08415).
Tensor Gelu(const Tensor& x);
/// x w, with one factor w [C] a channel; of complex numbers, the first half of the channels are real parts.
Tensor ScaleColumns(const Tensor& x, const Tensor& w, NumberKind kind = NumberKind::kReal);
/// x [N, P C] -> P tensors [N, C], the first of which has the first C columns.
std::vector<Tensor> SplitColumns(const Tensor& x, int parts);
/// P tensors [N, C] -> [N, P C], the other way round.
Tensor JoinColumns(const std::vector<Tensor>& parts);
/// x [P, ...] -> P tensors [...] that share its memory.
std::vector<Tensor> Unstack(const Tensor& x);
/// Each row of x [N, in] times a matrix of its own, [in, out], which is its row of `matrices` [N, in * out].
Tensor RowMatMul(const Tensor& x, const Tensor& matrices, Dim out);
/// Each of `groups` parts of a row to mean 0 and variance 1, then times weight plus bias [C].
Tensor GroupNorm(const Tensor& x, const Tensor& weight, const Tensor& bias, int groups, float eps);
Tensor LayerNorm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps = 1e-5f);

// Diagonal recurrences.

/// y_t = x_{t-1}: the row before, of a sequence's first its state [slots, C]; the last row is the new one.
Tensor Previous(const Tensor& x, const Sequences& sequences, const StateRef& state);

/// h_t = a_t h_{t-1} + b_t, channel by channel; or, by `kind`, the running average a_t h_{t-1} + (1 - a_t)
/// b_t, or the sum in complex numbers, of which the first C / 2 channels are the real parts. b is [N, C], the
/// factors a [N, C] or, the same for all rows, [C]; the state [slots, C] is h. One pass over memory; chunks,
/// single steps and any cut give the same bits. Gradients flow to a, b, to state.in if it is tracked and from
/// state.out.
Tensor DiagonalScan(const Tensor& a, const Tensor& b, const Sequences& sequences, const StateRef& state,
                    ScanKind kind = ScanKind::kSum);

/// f_t = sigmoid(z_f + v_f c_{t-1}), c_t = f_t c_{t-1} + (1 - f_t) x_t, r_t = sigmoid(z_r + v_r c_{t-1}) ->
/// r_t c_t + (1 - r_t) skip_t. The state [slots, C] is c. Not a scan, as the gates see the state; one pass,
/// too.
Tensor Sru(const SruInputs& in, const Sequences& sequences, const StateRef& state);

struct Eigen {
  Tensor a, gain;  // [2, P]: real parts, then imaginary ones
};
/// Eigenvalues of a discrete diagonal state space from their parameters; backend.h has the kinds.
Eigen Eigenvalues(const EigenInputs& p, EigenKind kind);

/// Each feature of u [N, H] through M complex modes of its own: x_t = a x_{t-1} + u_t, y_t = 2 Re sum_m c
/// x_t. a and c are [2, M, H], the state [slots, 2, M, H] is x. The modes never come to memory.
Tensor StateSpace(const StateSpaceInputs& in, const Sequences& sequences, const StateRef& state);

// S4: state spaces whose matrix is diagonal plus low rank.

/// Cuts a state space in continuous time into steps by the bilinear rule; c [2, M, H] is its output
/// (backend.h).
DplrInputs Bilinear(const DplrParameters& p, const Tensor& c);
/// The kernel K [length, H] of the convolution that the state space is, to float32's last digits.
Tensor DplrKernel(const DplrInputs& d, Dim length);
/// y_t = sum_{s <= t} K_{t-s} u_s in each sequence, feature by feature: u [N, H], K [T, H], which counts as 0
/// beyond T. It knows of no state.
Tensor LongConvolution(const Tensor& u, const Tensor& K, const Sequences& sequences);
/// The state space as a recurrence; the state [slots, 2, M, H] is x. Chunks, single steps and any cut give
/// the same bits. Gradients flow to u, d, to state.in if it is tracked and from state.out.
Tensor DplrRecurrence(const Tensor& u, const DplrInputs& d, const Sequences& sequences,
                      const StateRef& state);

// Recurrences through a full matrix, step by step.

/// h_t = act(W h_{t-1} + b_t), act none or tanh; the state [slots, C] is h.
Tensor DenseRecurrence(const Tensor& b, const Tensor& w, Act act, const Sequences& sequences,
                       const StateRef& state);
/// g_t = sigmoid(U h_{t-1} + b_t), h_t = g_t h_{t-1} + (1 - g_t) z_t; the state [slots, C] is h.
Tensor MinimalRecurrence(const Tensor& z, const Tensor& b, const Tensor& u, const Sequences& sequences,
                         const StateRef& state);

// RWKV.

/// For each of `mix`, [C] or of each row [N, C]: x_t + (x_{t-1} - x_t) mix, or x_{t-1} + (x_t - x_{t-1}) mix
/// for MixShare::kNow. The row before a sequence's first is its state [slots, C], and the last row the new
/// one. With an empty state.out the state stays as it is, for a model that mixes the same rows again.
std::vector<Tensor> ShiftMix(const Tensor& x, const std::vector<Tensor>& mix, const Sequences& sequences,
                             const StateRef& state, MixShare share = MixShare::kPrevious);

/// RWKV-4's average of values v [N, C] with weights e^k that decay by exp(-exp(w)) a step, w [C]; the present
/// token weighs e^{u + k}. backend.h has the formulas. The state [slots, 3, C] is a, b and the exponent p
/// that both share: an empty one has p = kWkv4Nothing. Gradients flow to the inputs, to state.in if it is
/// tracked and from state.out.
Tensor Wkv4(const Wkv4Inputs& in, const Sequences& sequences, const StateRef& state);
inline constexpr float kWkv4Nothing = -1e38f;

struct Keys {
  Tensor key, removal, replacement;  // [N, C] each
};
/// RWKV-7's keys: kk = k k_k, a unit vector per head; removal -kk, replacement kk a, key k (1 + (a - 1) k_a).
Keys MakeKeys(const Tensor& k, const Tensor& a, const Tensor& k_k, const Tensor& k_a, int heads);

/// y_t = r_t (S_{t-1} + diag(u) k_t^T v_t), S_t = diag(d_t) S_{t-1} + k_t^T v_t, d = exp(-exp(w)): r, k, v
/// and RWKV-6's w are [N, C], u and RWKV-5's w [C], the state [slots, H, D key, D value]. Gradients flow to
/// the inputs, to state.in if it is tracked and from state.out.
Tensor Wkv6(const Wkv6Inputs& in, const Sequences& sequences, const StateRef& state, int heads);

/// S_t = S_{t-1} (diag(d_t) + a_t^T b_t) + v_t^T k_t, y_t = S_t r_t, d = exp(-e^{-1/2} sigmoid(w)); all
/// inputs [N, C], the state [slots, H, D value, D key]. Gradients flow to the inputs, to state.in if it is
/// tracked and from state.out.
Tensor Wkv7(const Wkv7Inputs& in, const Sequences& sequences, const StateRef& state, int heads);

/// (y + v <r k r_k>_head) g
Tensor BonusGate(const Tensor& y, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& r_k,
                 const Tensor& g, int heads);

/// The place of each row in its sequence: the state `seen` [slots, 1], which goes on counting, and the rows
/// before it. Throws Error if a sequence has more than `most` rows.
std::vector<int> Positions(const Sequences& sequences, const StateRef& seen, Dim most);

/// Each row attends to all rows of its sequence up to its own, also to those of earlier batches, which the
/// state keeps: y_t = sum_{j <= t} softmax_j(score_j) v_j in each of the cache's heads. Throws Error if a
/// sequence has more rows than the cache. Gradients flow to q, k, v, to cache.in if it is tracked and from
/// cache.out.
Tensor Attention(const AttentionInputs& in, const Sequences& sequences, const AttentionCache& cache,
                 SoftCap soft);

/// What one row keeps of the average of an attention-free transformer (backend.h has the formula): an average
/// of all rows seen, weighted in each channel by e^{k + w}. w [N, capacity] has the biases of each row for
/// every position; those further back than `window` rows do not count. Throws Error if a sequence has more
/// rows than the cache. Gradients flow to k, v, w, to cache.in if it is tracked and from cache.out.
Tensor AftAverage(const AftInputs& in, const Sequences& sequences, const AttentionCache& cache, Dim window);

/// AFT-conv's average in each of the heads that k has a column of: as AftAverage, but the bias w depends on
/// the distance of the rows alone, so that the state is of constant size; `backend.h` has formula and state.
/// Chunks, single steps and any cut give the same bits. Gradients flow to k, v, w, to state.keys.in and
/// state.values.in if they are tracked and from what is left there. kAftConvNothing is the key of a row that
/// is none.
Tensor AftConv(const AftConvInputs& in, const Sequences& sequences, const AftConvState& state);
inline constexpr float kAftConvNothing = -1e38f;

/// The normaliser of linear attention: x_t / (<q_t, z_t> + eps) in each head, where z_t is the sum of all k
/// up to row t; the state [slots, C] is z. Gradients flow to x, q, k, to state.in if it is tracked and from
/// state.out.
Tensor DivideByMass(const Tensor& x, const Tensor& q, const Tensor& k, const Sequences& sequences,
                    const StateRef& state, int heads, float eps);

/// Rapid online suffix automaton: each group of `bits` channels is a symbol, of whose bits the signs are; a
/// row says the v that followed the latest of the longest matches of its last q among earlier k. In: the v
/// that follows is `one` or `zero` [C] in each channel; without a match it is 0 or, if `unmatched_is_zero`,
/// `zero`. `seen` [slots, 1] counts rows. It has no derivative: throws Error where one is asked for, and if a
/// sequence has more rows than the memory.
Tensor Rosa(const RosaInputs& in, int bits, bool unmatched_is_zero, const Sequences& sequences,
            const RosaMemory& memory, const StateRef& seen);
/// Floats of a node of its automata, nodes for so many rows, and floats of a cursor.
Dim RosaNodeSize(int bits);
Dim RosaNodes(Dim rows);
inline constexpr Dim kRosaCursor = 4;

/// A layer of tanh cells, GRUs or LSTMs (backend.h has their formulas): what it says at every row, [N, C].
/// The state is [slots, 1, C], the last h, and of an LSTM [slots, 2, C], h and c. Gradients flow to x, u, to
/// state.in if it is tracked and from state.out, through all steps.
Tensor RecurrentCell(CellKind kind, const CellInputs& in, const Sequences& sequences, const StateRef& state);

// Loss.

struct LossOptions {
  /// The reference's L2Wrap: adds l2_wrap * (largest logit) / rows to the gradient at that logit, which keeps
  /// logits near 0. RWKV trains with 1e-4. The value of the loss is unchanged.
  float l2_wrap = 0;
  /// Rows that the mean is over: more than those of this call, where it is one of several that share a loss;
  /// 0 for those of this call whose target counts.
  Dim counted = 0;
  /// Of the logits [V], if the head has one.
  Tensor bias = {};
};
/// Mean over rows of -log softmax(hidden head^T + bias)[target] -> [1]; rows with a negative target do not
/// count. The logits [N, V] are made and consumed in chunks of rows and never exist as a whole.
Tensor CrossEntropy(const Tensor& hidden, const Tensor& head, std::span<const int> targets,
                    const LossOptions& options = {});

}  // namespace linnet::ops
