// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The training step of `gantry-bench step` with libtorch from C++, without Python in the way: one
// JSON line with the same keys. Built by compare.py where libtorch is installed; nothing else needs
// it. usage: libtorch_gan_step model batch threads seconds [--channels-last] [--installed]
//
// As torch_gan_step.py it takes the best set-up: huge pages for malloc, D frozen in G's step,
// gradients that are dropped and not filled with zeros, and the OpenMP build of OpenBLAS where it
// is installed. The process starts itself again with the variables that this takes.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include <torch/torch.h>
#include <torch/version.h>

namespace {

namespace nn = torch::nn;

struct settings {
  std::string model;
  int batch{64}, threads{1};
  double seconds{5};
  bool channels_last{false}, installed{false};
};

/// Sets the variables that a process must start with and starts it again if one was another.
void prepare_process(const settings& s, char** argv) {
  const std::string threads = std::to_string(s.threads);
  std::vector<std::pair<const char*, std::string>> wanted{{"OMP_NUM_THREADS", threads},
                                                          {"OPENBLAS_NUM_THREADS", threads}};
  if (!s.installed) {
    const char* const openblas = "/usr/lib/x86_64-linux-gnu/openblas-openmp";
    wanted.emplace_back("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
    if (access((std::string(openblas) + "/libblas.so.3").c_str(), R_OK) == 0)
      wanted.emplace_back("LD_LIBRARY_PATH", openblas);
  }
  bool is_missing = false;
  for (const auto& [name, value] : wanted) {
    const char* found = std::getenv(name);
    if (found != nullptr && value == found) continue;
    setenv(name, value.c_str(), 1);
    is_missing = true;
  }
  if (is_missing) execv("/proc/self/exe", argv);
}

struct view_as : nn::Module {
  explicit view_as(std::vector<int64_t> e) : extents(std::move(e)) {
    extents.insert(extents.begin(), -1);
  }
  torch::Tensor forward(const torch::Tensor& x) { return x.reshape(extents); }
  std::vector<int64_t> extents;
};

nn::ConvTranspose2d up(int i, int o, int stride = 2, int pad = 1) {
  return nn::ConvTranspose2d(
      nn::ConvTranspose2dOptions(i, o, 4).stride(stride).padding(pad).bias(false));
}
nn::Conv2d down(int i, int o, int stride = 2, int pad = 1) {
  return nn::Conv2d(nn::Conv2dOptions(i, o, 4).stride(stride).padding(pad).bias(false));
}
nn::LeakyReLU leaky() {
  return nn::LeakyReLU(nn::LeakyReLUOptions().negative_slope(0.2).inplace(true));
}
nn::ReLU relu() { return nn::ReLU(nn::ReLUOptions().inplace(true)); }
nn::Linear dense(int i, int o, bool bias = true) {
  return nn::Linear(nn::LinearOptions(i, o).bias(bias));
}

struct networks {
  nn::Sequential g, d;
  std::vector<int64_t> image;
};

networks dcgan(const std::vector<int>& widths, int side) {
  networks n;
  n.image = {3, side, side};
  n.g->push_back(std::make_shared<view_as>(std::vector<int64_t>{100, 1, 1}));
  n.g->push_back(up(100, widths[0], 1, 0));
  n.g->push_back(nn::BatchNorm2d(widths[0]));
  n.g->push_back(relu());
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    n.g->push_back(up(widths[i], widths[i + 1]));
    n.g->push_back(nn::BatchNorm2d(widths[i + 1]));
    n.g->push_back(relu());
  }
  n.g->push_back(up(widths.back(), 3));
  n.g->push_back(nn::Tanh());
  n.d->push_back(down(3, widths.back()));
  n.d->push_back(leaky());
  for (std::size_t i = widths.size() - 1; i > 0; --i) {
    n.d->push_back(down(widths[i], widths[i - 1]));
    n.d->push_back(nn::BatchNorm2d(widths[i - 1]));
    n.d->push_back(leaky());
  }
  n.d->push_back(down(widths[0], 1, 1, 0));
  n.d->push_back(nn::Flatten());
  return n;
}

networks networks_of(const std::string& model) {
  if (model == "dcgan32") return dcgan({256, 128, 64}, 32);
  if (model == "dcgan64") return dcgan({512, 256, 128, 64}, 64);
  networks n;
  if (model == "mlp28") {
    n.image = {784};
    n.g = nn::Sequential(dense(100, 512), leaky(), dense(512, 512), leaky(), dense(512, 784),
                         nn::Tanh());
    n.d = nn::Sequential(dense(784, 512), leaky(), dense(512, 512), leaky(), dense(512, 1));
  } else {
    n.image = {1, 28, 28};
    n.g = nn::Sequential(dense(100, 6272, false), view_as({128, 7, 7}), nn::BatchNorm2d(128),
                         relu(), up(128, 64), nn::BatchNorm2d(64), relu(), up(64, 1), nn::Tanh());
    n.d = nn::Sequential(down(1, 64), leaky(), down(64, 128), nn::BatchNorm2d(128), leaky(),
                         nn::Flatten(), dense(6272, 1));
  }
  return n;
}

void initialise(nn::Sequential& net, const settings& s) {
  const torch::NoGradGuard no_gradients;
  for (torch::Tensor& p : net->parameters()) {
    if (p.dim() > 1) p.normal_(0.0, 0.02);
    if (s.channels_last && p.dim() == 4)
      p.set_data(p.contiguous(torch::MemoryFormat::ChannelsLast));
  }
}

void freeze(nn::Sequential& net, bool frozen) {
  for (torch::Tensor& p : net->parameters()) p.set_requires_grad(!frozen);
}

void clear_gradients(nn::Sequential& net, const settings& s) {
  for (torch::Tensor& p : net->parameters()) {
    if (!s.installed)
      p.mutable_grad() = torch::Tensor();
    else if (p.grad().defined())
      p.mutable_grad().detach_().zero_();
  }
}

/// Seconds of each timed step, ascending.
std::vector<double> time_steps(const settings& s) {
  networks n = networks_of(s.model);
  initialise(n.g, s);
  initialise(n.d, s);
  const auto adam = torch::optim::AdamOptions(2e-4).betas({0.5, 0.999});
  torch::optim::Adam of_g(n.g->parameters(), adam), of_d(n.d->parameters(), adam);
  std::vector<int64_t> extents = n.image;
  extents.insert(extents.begin(), s.batch);
  torch::Tensor real = torch::tanh(torch::randn(extents));
  if (s.channels_last && real.dim() == 4) real = real.contiguous(torch::MemoryFormat::ChannelsLast);
  const torch::Tensor ones = torch::ones({s.batch, 1}), zeros = torch::zeros({s.batch, 1});
  const auto loss = [](const torch::Tensor& x, const torch::Tensor& target) {
    return torch::binary_cross_entropy_with_logits(x, target);
  };
  const auto step = [&] {
    clear_gradients(n.d, s);
    loss(n.d->forward(real), ones).backward();
    const torch::Tensor fake = n.g->forward(torch::randn({s.batch, 100}));
    loss(n.d->forward(fake.detach()), zeros).backward();
    of_d.step();
    clear_gradients(n.g, s);
    if (!s.installed) freeze(n.d, true);
    loss(n.d->forward(fake), ones).backward();
    of_g.step();
    freeze(n.d, false);
  };
  for (int i = 0; i < 3; ++i) step();
  using clock = std::chrono::steady_clock;
  const auto since = [](clock::time_point begin) {
    return std::chrono::duration<double>(clock::now() - begin).count();
  };
  std::vector<double> seconds;
  for (const auto start = clock::now(); seconds.size() < 5 || since(start) < s.seconds;) {
    const auto begin = clock::now();
    step();
    seconds.push_back(since(begin));
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

int usage() {
  std::fprintf(stderr,
               "usage: libtorch_gan_step mlp28|dcgan28|dcgan32|dcgan64 batch threads seconds "
               "[--channels-last] [--installed]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return usage();
  settings s;
  s.model = argv[1];
  s.batch = std::atoi(argv[2]);
  s.threads = std::atoi(argv[3]);
  s.seconds = std::atof(argv[4]);
  const std::initializer_list<const char*> models{"mlp28", "dcgan28", "dcgan32", "dcgan64"};
  const bool known =
      std::any_of(models.begin(), models.end(), [&](const char* m) { return s.model == m; });
  if (!known || s.batch < 1 || s.threads < 1) return usage();
  for (int i = 5; i < argc; ++i) {
    if (std::strcmp(argv[i], "--channels-last") == 0)
      s.channels_last = true;
    else if (std::strcmp(argv[i], "--installed") == 0)
      s.installed = true;
    else
      return usage();
  }
  prepare_process(s, argv);
  torch::set_num_threads(s.threads);
  torch::manual_seed(1);
  const std::vector<double> seconds = time_steps(s);
  const auto at = [&](double part) {
    return seconds[static_cast<std::size_t>(part * static_cast<double>(seconds.size() - 1))];
  };
  std::printf(
      "{\"impl\": \"libtorch\", \"version\": \"%s\", \"set_up\": \"%s%s\", \"model\": \"%s\", "
      "\"batch\": %d, \"threads\": %d, \"steps\": %zu, \"step_ms\": %.4f, "
      "\"step_ms_p10\": %.4f, \"step_ms_p90\": %.4f, \"images_per_s\": %.2f}\n",
      TORCH_VERSION, s.installed ? "installed" : "best", s.channels_last ? ", channels last" : "",
      s.model.c_str(), s.batch, s.threads, seconds.size(), 1e3 * at(0.5), 1e3 * at(0.1),
      1e3 * at(0.9), s.batch / at(0.5));
}
