// Matrix products. Those of a forward pass take the kernels of products.h, whose result for a row does not
// depend on how many rows there are; those of a backward pass, which transposes and accumulates, go to
// oneDNN.
//
// This is the only file that knows oneDNN, whose calls are those of its 2.x series (Debian 12 has 2.6).
#include <dnnl.hpp>
#include <mutex>
#include <unordered_map>

#include "kernels/cpu/cpu_backend.h"

namespace linnet {
namespace {

using dnnl::memory;

struct ProductKey {
  int64_t m, n, k;
  bool transpose_a, transpose_b, bf16, accumulate;
  bool operator==(const ProductKey&) const = default;
};

struct ProductHash {
  size_t operator()(const ProductKey& key) const {
    size_t hash = 0;
    for (int64_t part :
         {key.m, key.n, key.k,
          int64_t{key.transpose_a} | key.transpose_b << 1 | key.bf16 << 2 | key.accumulate << 3}) {
      hash = (hash ^ static_cast<size_t>(part)) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 29;
    }
    return hash;
  }
};

/// A product that was set up once for its sizes and is then only run.
struct Product {
  dnnl::matmul primitive;
  memory::desc a, b, c;
};

dnnl::engine& Engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

Product MakeProduct(const ProductKey& key) {
  using Tag = memory::format_tag;
  const auto type = key.bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const memory::desc a({key.m, key.k}, type, key.transpose_a ? Tag::ba : Tag::ab);
  const memory::desc b({key.k, key.n}, type, key.transpose_b ? Tag::ba : Tag::ab);
  const memory::desc c({key.m, key.n}, memory::data_type::f32, Tag::ab);
  dnnl::primitive_attr attributes;
  if (key.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  return {dnnl::matmul({{a, b, c}, attributes, Engine()}), a, b, c};
}

/// The table of products set up so far. Its entries stay where they are.
const Product& ProductFor(const ProductKey& key) {
  static std::mutex mutex;
  static auto* products = new std::unordered_map<ProductKey, Product, ProductHash>;
  std::lock_guard lock(mutex);
  const auto found = products->find(key);
  return found != products->end() ? found->second : products->emplace(key, MakeProduct(key)).first->second;
}

}  // namespace

void CpuBackend::MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor& c,
                        bool accumulate) {
  if (b.dtype() != a.dtype()) {
    const Tensor rounded = Tensor::Empty(b.shape(), a.dtype());
    Convert(b, rounded);
    return MatMul(a, transpose_a, rounded, transpose_b, c, accumulate);
  }
  const int64_t m = c.dim(0), n = c.dim(1), k = a.size() / m;
  const bool bf16 = a.dtype() == DType::kBf16;
  const Product& product = ProductFor({m, n, k, transpose_a, transpose_b, bf16, accumulate});
  thread_local dnnl::stream stream(Engine());
  product.primitive.execute(stream, {{DNNL_ARG_SRC, memory(product.a, Engine(), a.raw())},
                                     {DNNL_ARG_WEIGHTS, memory(product.b, Engine(), b.raw())},
                                     {DNNL_ARG_DST, memory(product.c, Engine(), c.raw())}});
  stream.wait();
}

}  // namespace linnet
