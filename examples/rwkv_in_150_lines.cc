// RWKV-4, 5.2, 6 and 7 (arXiv:2305.13048, 2404.05892, 2503.14456) as RNNs, on the standard library alone; the
// C++ sister of RWKV_in_150_lines.py. Reads safetensors with BlinkDL's names and trusts the shapes in them.
//     rwkv_in_150_lines model.safetensors 0 72 105     the logits after each token, a line of JSON each
//     rwkv_in_150_lines model.safetensors 20 72 105    the likeliest 20 bytes, if tokens are bytes
#include <algorithm>
#include <bit>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <valarray>

using std::slice, std::string;
using Vec = std::valarray<float>;  // + - * / exp tanh sqrt go by element
struct Tensor { size_t rows; Vec values; };
using File = std::map<string, Tensor>;
struct State { Vec att, ffn, a, b, p, s; };  // last inputs; RWKV-4's sums a, b over e^p; the others' matrices
void Require(bool condition, const string& otherwise) { if (!condition) throw std::runtime_error(otherwise); }
float Half(unsigned f) { return std::bit_cast<float>((f & 0x8000) << 16 | (f & 0x7fff) << 13) * 0x1p112f; }

// A length in 8 bytes; {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}; the data.
File Load(const string& path) {
  const string bytes{std::istreambuf_iterator<char>(std::ifstream(path, std::ios::binary).rdbuf()), {}};
  size_t length = 0;
  Require(bytes.copy((char*)&length, 8) == 8 && length <= bytes.size() - 8, path + " is not safetensors");
  std::istringstream header(bytes.substr(8, length));
  File file;
  for (string entry; std::getline(header, entry, '}');) {
    for (size_t at; (at = entry.find_first_of("{[]:,\"")) != entry.npos;) entry[at] = ' ';
    std::istringstream words(entry);
    string name, word, type;
    size_t rows = 0, begin = 0, end = 0;
    for (words >> name; words >> word;) {
      if (word == "dtype") words >> type;
      if (word == "shape") words >> rows;
      if (word == "data_offsets") words >> begin >> end;
    }
    Require(begin <= end && end <= bytes.size() - 8 - length, path + " is too short for " + name);
    Vec values((end - begin) / (type == "F32" ? 4 : 2));
    for (unsigned i = 0, bits = 0, size = type == "F32" ? 4 : 2; i < values.size(); ++i) {
      bytes.copy((char*)&bits, size, 8 + length + begin + size_t{i} * size);
      values[i] = type == "F16" ? Half(bits) : std::bit_cast<float>(type == "BF16" ? bits << 16 : bits);
    }
    if (type == "F32" || type.ends_with("F16")) file[name] = {rows, values};
  }
  return file;
}

struct Weights {  // those whose names begin with `part`
  const File& file;
  string part;
  bool Has(const string& name) const { return file.contains(part + name); }
  const Vec& operator[](const string& name) const {
    return Require(Has(name), "the file has no " + part + name), file.at(part + name).values;
  }
  Vec operator()(const string& name, const Vec& x) const {  // W x: W is [out, in], a low-rank one [in, out]
    const Vec& w = (*this)[name];
    const size_t in = x.size(), out = w.size() / in, low = !name.ends_with(".weight");
    Vec y(out);
    for (size_t i = 0; i < out; ++i) y[i] = (w[low ? slice(i, in, out) : slice(i * in, in, 1)] * x).sum();
    return y;
  }
};

Vec Sigmoid(const Vec& x) { return 1.f / (1.f + exp(-x)); }
Vec Larger(Vec x, const Vec& y) { return x[x < y] = y[x < y], x; }
Vec Sums(Vec x, size_t n) {  // for each element, that of its group of n
  for (size_t i = 0; i < x.size(); i += n) x[slice(i, n, 1)] = Vec(Vec(x[slice(i, n, 1)]).sum(), n);
  return x;
}
Vec Norm(const Weights& w, const string& name, const Vec& x, size_t n, float eps = 1e-5f) {
  const Vec c = x - Sums(x, n) / float(n);
  return c / sqrt(Sums(c * c, n) / float(n) + eps) * w[name + ".weight"] + w[name + ".bias"];
}

Vec Shift(const Weights& w, const Vec& x, const Vec& old, char to) {  // what r, w, k, v, a, g see
  if (w.Has("time_mix_k")) return old + (x - old) * w[string("time_mix_") + to];
  if (!w.Has("time_maa_x")) return x + (old - x) * w[string(w.Has("time_maa_k") ? "time_maa_" : "x_") + to];
  Vec z = tanh(w("time_maa_w1", x + (old - x) * w["time_maa_x"]));  // RWKV-6: x itself has a say
  for (size_t i = 0; i < z.size(); ++i) z[i] *= "wkvrg"[i * 5 / z.size()] == to;
  return x + (old - x) * (w[string("time_maa_") + to] + w("time_maa_w2", z));
}

Vec TimeMix(const Weights& w, const Vec& x, State& t, Vec& v_first) {
  const auto in = [&](char to) { return Shift(w, x, t.att, to); };
  Vec r = w("receptance.weight", in('r')), k = w("key.weight", in('k')), v = w("value.weight", in('v'));
  Vec d, g, u = 0.f * x, kk = u, a = u, y = u;
  if (!w.Has("ln_x.bias")) {  // RWKV-4: an average of all v, whose weights e^k decay
    const Vec e = k + w["time_first"], p = Larger(t.p, e), dp = t.p - exp(w["time_decay"]), q = Larger(dp, k);
    y = (exp(t.p - p) * t.a + exp(e - p) * v) / (exp(t.p - p) * t.b + exp(e - p));
    t = {x, t.ffn, exp(dp - q) * t.a + exp(k - q) * v, exp(dp - q) * t.b + exp(k - q), q, {}};
    return w("output.weight", y * Sigmoid(r));
  }
  const bool seven = w.Has("r_k");
  const size_t n = x.size() / w.file.at(w.part + (seven ? "r_k" : "time_faaaa")).rows;
  if (seven) {
    d = exp(-0.60653066f * Sigmoid(w["w0"] + w("w2", tanh(w("w1", in('w'))))));
    a = Sigmoid(w["a0"] + w("a2", w("a1", in('a'))));
    g = w("g2", Sigmoid(w("g1", in('g'))));
    v_first.size() == 0 ? v_first = v : v += (v_first - v) * Sigmoid(w["v0"] + w("v2", w("v1", in('v'))));
    kk = k * w["k_k"], kk /= sqrt(Sums(kk * kk, n) + 1e-24f), k *= 1.f + (a - 1.f) * w["k_a"];
  } else {  // RWKV-5: what decays is a matrix a head; RWKV-6: the input decides how fast
    u = w["time_faaaa"], d = w["time_decay"], g = w("gate.weight", in('g')), g *= Sigmoid(g);
    d = exp(-exp(d + (w.Has("time_decay_w1") ? w("time_decay_w2", tanh(w("time_decay_w1", in('w')))) : kk)));
  }
  if (t.s.size() == 0) t.s.resize(x.size() * n);
  for (size_t i = 0; i < x.size(); ++i) {  // channel i of v has a row of its head's matrix
    const slice row(i * n, n, 1), head(i / n * n, n, 1);
    const Vec old = t.s[row], kv = v[i] * Vec(k[head]), key = kk[head];
    t.s[row] = Vec(d[head]) * old - (old * key).sum() * Vec(a[head]) * key + kv;  // RWKV-7: - what k had
    y[i] = (Vec(r[head]) * (seven ? Vec(t.s[row]) : Vec(old + Vec(u[head]) * kv))).sum();
  }
  y = Norm(w, "ln_x", y, n, 64e-5f);
  if (seven) y += Sums(r * k * w["r_k"], n) * v;
  return t.att = x, w("output.weight", y * g);
}

Vec ChannelMix(const Weights& w, const Vec& x, State& t) {
  const Vec k = w("key.weight", Shift(w, x, t.ffn, 'k')).apply([](float f) { return f > 0 ? f * f : 0; });
  Vec y = w("value.weight", k);
  if (w.Has("receptance.weight")) y *= Sigmoid(w("receptance.weight", Shift(w, x, t.ffn, 'r')));
  return t.ffn = x, y;
}

int main(int argc, char** argv) try {
  Require(argc > 3, "usage: rwkv_in_150_lines MODEL.safetensors COUNT TOKEN...");
  const Weights all{Load(argv[1]), ""};
  const size_t n = all["ln_out.bias"].size(), vocabulary = all["emb.weight"].size() / n;
  const bool old_5 = all.Has("blocks.0.att.time_decay") && all["blocks.0.att.time_decay"].size() != n;
  Require(!old_5 && !all.Has("blocks.0.ffn.s_emb.weight"), "this is RWKV-5.0, 5.1, 7a or 7b");
  const auto block = [](size_t layer) { return "blocks." + std::to_string(layer) + "."; };
  std::map<size_t, State> states;
  Vec o(n), y(1);
  for (size_t i = 0; all.Has(block(i) + "ln1.bias"); ++i) states[i] = {o, o, o, o, o - 1e30f, {}};
  for (int i = 3, count = std::stoi(argv[2]); i < argc + count; ++i) {
    const size_t token = i < argc ? std::stoul(argv[i]) : std::max_element(begin(y), end(y)) - begin(y);
    Require(token < vocabulary, "there is no token " + std::to_string(token));
    Vec x = Norm(all, "blocks.0.ln0", all["emb.weight"][slice(token * n, n, 1)], n), v_first;
    for (auto& [layer, t] : states) {
      x += TimeMix({all.file, block(layer) + "att."}, Norm(all, block(layer) + "ln1", x, n), t, v_first);
      x += ChannelMix({all.file, block(layer) + "ffn."}, Norm(all, block(layer) + "ln2", x, n), t);
    }
    y = all("head.weight", Norm(all, "ln_out", x, n));
    if (i >= argc) std::putchar(token);
    for (size_t j = 0; count == 0 && j < y.size(); ++j) std::printf("%s%.9g", j ? ", " : "[", y[j]);
    if (count == 0) std::puts("]");
  }
} catch (const std::exception& e) { return std::fprintf(stderr, "rwkv_in_150_lines: %s\n", e.what()), 1; }
