// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <sstream>
#include <utility>

#include "experiments.hpp"

namespace {

using gantry::metrics::node_rates;

/// An edge network: 100 Mbit/s both ways and 10 ms to the server, small machines, a faster server.
constexpr double mbit = 1e6 / 8;
node_rates edge_worker() {
  return {.flops_per_second = 10e9, .upload = 100 * mbit, .download = 100 * mbit, .latency = 0.01};
}
node_rates edge_server() { return {.flops_per_second = 50e9}; }
const char* const edge_text =
    "modelled: workers of 10 GFLOP/s with 100 Mbit/s up and down and 10 ms of latency, a server of "
    "50 GFLOP/s whose links do not limit";

experiment md_gan_and_federated(const char* key, const char* split) {
  const std::string partition = std::string(" --partition ") + split;
  const std::string updates = " --iterations 1000 --metric-every 200";
  const std::string rounds =
      "--strategy federated_average --workers 10 --local-updates 50"
      " --iterations 20 --metric-every 4" +
      partition;
  const std::string md_gan = "--strategy md_gan --workers 10 --k log" + partition + updates;
  return {
      .key = key,
      .title = std::string("MD-GAN, FL-GAN and one node, ten workers, data split ") + split,
      .claim =
          "MD-GAN (IPDPS 2019): better or identical scores than FL-GAN at half the compute "
          "of a worker",
      .flags = "--data fashion-mnist --model mlp28 --batch 10 --lr-g 2e-4 --lr-d 2e-4",
      .runs = {{"standalone", "--strategy standalone" + updates},
               {"MD-GAN, k = log N", md_gan},
               {.name = "MD-GAN, a worker lost every I / N", .flags = md_gan, .fail_stops = true},
               {"FL-GAN, 50 local updates", rounds}}};
}

/// Rounds of five discriminator steps, on one data set.
experiment ren(const char* key, const char* data, const char* model, int rounds) {
  const std::string length = " --local-updates 5 --iterations " + std::to_string(rounds) +
                             " --metric-every " + std::to_string(rounds / 5);
  const std::string ren = "--strategy averaged_discriminator --server-steps 5 --schedule ";
  return {
      .key = key,
      .title =
          std::string("Ren et al. serial and parallel against FedGAN, by modelled time, ") + data,
      .claim = "arXiv 2107.08681: converges faster than FedGAN",
      .flags = std::string("--data ") + data + " --model " + model + " --batch 16 --workers 5",
      .runs = {{"FedGAN, K = 5", "--strategy federated_average" + length},
               {"Ren, serial, 5 and 5 steps", ren + "serial" + length},
               {"Ren, parallel, 5 and 5 steps", ren + "parallel" + length},
               // Both sides answer a state that is a round old: shorter rounds answer a newer one.
               {"Ren, parallel, 1 and 1 step",
                "--strategy averaged_discriminator --schedule parallel --iterations " +
                    std::to_string(5 * rounds) + " --metric-every " + std::to_string(rounds)}},
      .links = link_kind::modelled,
      .worker = edge_worker(),
      .server = edge_server(),
      .link_text = edge_text};
}

/// The same methods without and with workers that compute slowly. Networks and scores are those of
/// the other runs of a method: only the clock differs.
experiment stragglers() {
  const std::string length = " --local-updates 5 --iterations 200 --metric-every 20";
  const std::string ren = "--strategy averaged_discriminator --schedule ";
  const std::pair<const char*, std::string> methods[] = {
      {"FedGAN, K = 5", "--strategy federated_average" + length},
      {"Ren, serial, 5 and 5 steps", ren + "serial --server-steps 5" + length},
      {"Ren, parallel, 1 and 1 step", ren + "parallel --iterations 1000 --metric-every 100"}};
  experiment e{
      .key = "b-stragglers",
      .title = "Ren et al. and FedGAN with two of ten workers ten times slower",
      .claim = "synchronous rounds last as long as their slowest worker; no figure is named",
      .flags = "--data fashion-mnist --model mlp28 --batch 16 --workers 10",
      .links = link_kind::modelled,
      .worker = edge_worker(),
      .server = edge_server(),
      .link_text = edge_text,
      .equal_score = true};
  for (const double part : {0.0, 0.2})
    for (const auto& [name, flags] : methods)
      e.runs.push_back({.name = std::string(name) + (part > 0 ? ", 2 stragglers" : ""),
                        .flags = flags,
                        .faults = {.stragglers = part, .slow_down = 10}});
  return e;
}

/// What nodes hold does not depend on how long they train.
experiment memory() {
  experiment e{.key = "a-memory",
               .title = "Memory of MD-GAN's nodes over the number of workers",
               .claim =
                   "O(k b |w|) on the server (IPDPS 2019, section IV-B): no term in the number "
                   "of workers, as long as k does not grow with it",
               .flags =
                   "--data fashion-mnist --model mlp28 --batch 10 --strategy md_gan "
                   "--metrics none --iterations 5",
               .scored = false};
  for (const char* k : {"1", "log"})
    for (const int n : {2, 4, 8, 16})
      e.runs.push_back({"k = " + std::string(k) + ", " + std::to_string(n) + " workers",
                        "--k " + std::string(k) + " --workers " + std::to_string(n)});
  return e;
}

/// Two discriminator and two generator steps per round, over links of 40 MB/s.
experiment overlap(const char* key, const char* model, const char* batch) {
  const node_rates link{.upload = 40e6, .download = 40e6};
  const std::string equal = " --server-steps 2 --iterations 10";
  const std::string layerwise = "--strategy layerwise_overlap --local-steps 2 --overlap ";
  return {.key = key,
          .title = std::string("The layer-wise broadcast against blocking ones on equal work, ") +
                   model + ", real threads",
          .claim = "EntGAN's targets: at least 10 % less time and 15 % less server memory",
          .flags = std::string("--data fashion-mnist --model ") + model + " --batch " + batch +
                   " --workers 2 --metrics none",
          .runs = {{"averaged discriminator, blocking",
                    "--strategy averaged_discriminator --local-updates 2" + equal},
                   {"layer-wise, blocking", layerwise + "blocking" + equal},
                   {"layer-wise, as ready", layerwise + "ready" + equal},
                   {"layer-wise, input first", layerwise + "input-first" + equal},
                   {"FL-GAN", "--strategy federated_average --local-updates 2 --iterations 10"},
                   {.name = "MD-GAN, two iterations",
                    .flags = "--strategy md_gan --iterations 20",
                    .rounds = 2}},
          .links = link_kind::throttled,
          .worker = link,
          .server = link,
          .link_text = "throttled: 40 MB/s between any two nodes",
          .scored = false,
          .repeats = 3};
}

experiment task_groups() {
  const node_rates link{.upload = 40e6, .download = 40e6};
  return {.key = "c-tasks",
          .title = "Three GANs at once under one server against three runs in turn",
          .claim = "EntGAN trains several kinds of GAN at once; no figure is named",
          .flags = "--iterations 10",
          .runs = {{.name = "in turn", .what = subject::tasks_in_turn},
                   {.name = "at once", .what = subject::tasks_at_once}},
          .links = link_kind::throttled,
          .worker = link,
          .server = link,
          .link_text = "throttled: 40 MB/s between any two nodes",
          .scored = false,
          .repeats = 3,
          .timed = "round of all three"};
}

experiment label_parallel() {
  const std::string pairs = "--strategy label_parallel --batch 16 ";
  return {.key = "d",
          .title = "W-CGAN and DC-CGAN, a pair per label, at equal compute",
          .claim =
              "W-CGAN (arXiv 2207.12315): better Inception score and FID than DC-CGAN at a fixed "
              "computational budget",
          .flags =
              "--data fashion-mnist --model mlp28 --iterations 1000 --metric-every 200 "
              "--lr-g 2e-4 --lr-d 2e-4",
          .runs = {{"DC-CGAN", pairs},
                   {"W-CGAN, 5 critic steps, clip 0.03",
                    pairs + "--loss wasserstein --critic-steps 5 --optimizer rmsprop --clip 0.03"},
                   {"W-CGAN, 1 critic step, clip 0.03",
                    pairs + "--loss wasserstein --optimizer rmsprop --clip 0.03"},
                   {"one GAN on all data", "--strategy standalone --batch 160"}},
          .equal_compute = true};
}

experiment label_start() {
  return {.key = "d-start",
          .title = "Shards by label: one index against a scan of all images by every worker",
          .claim =
              "ORNL/DistGANs: 60 of 72 seconds of a run on CIFAR-10 are each rank's scan of all "
              "images for its label",
          .flags = "--data fashion-mnist --model mlp28 --strategy label_parallel",
          .runs = {{.name = "scan by each of ten workers", .what = subject::label_scan},
                   {.name = "label index", .what = subject::label_index}},
          .scored = false,
          .repeats = 5,
          .timed = "start of ten workers"};
}

experiment label_scaling() {
  experiment e{.key = "d-scaling",
               .title = "Weak scaling of pairs that do not talk",
               .claim = "DC-CGAN and W-CGAN: weak scaling to 1,000 processes",
               .flags =
                   "--data fashion-mnist --model mlp28 --batch 16 --strategy label_parallel "
                   "--metrics none --iterations 60",
               .links = link_kind::modelled,
               .worker = edge_worker(),
               .server = edge_server(),
               .link_text = edge_text,
               .scored = false,
               .repeats = 3};
  for (const int n : {1, 2, 5, 10})
    e.runs.push_back(
        {std::to_string(n) + (n == 1 ? " worker" : " workers"), "--workers " + std::to_string(n)});
  return e;
}

experiment filters() {
  const std::string md_gan = "--strategy md_gan ";
  const auto noise = [&](double sigma) {
    std::ostringstream flags;
    flags << md_gan << "--noise-seed 1 --noise " << sigma;
    return flags.str();
  };
  return {
      .key = "e",
      .title = "MD-GAN with filtered feedbacks",
      .claim = "fewer bytes and noise cost little; none is published for these networks",
      .flags =
          "--data fashion-mnist --model mlp28 --batch 16 --workers 8 --iterations 500 "
          "--metric-every 100",
      .runs = {{"exact", md_gan},
               {"bf16", md_gan + "--filter bf16"},
               {"int8, error feedback", md_gan + "--filter int8 --error-feedback"},
               {"top 5 %, error feedback", md_gan + "--filter top-k --keep 0.05 --error-feedback"},
               {"clip and noise, sigma 0.01", noise(0.01)},
               {"clip and noise, sigma 0.03", noise(0.03)},
               {"clip and noise, sigma 0.1", noise(0.1)},
               {"clip and noise, sigma 0.3", noise(0.3)},
               {"clip and noise, sigma 1.07 (GS-WGAN)", noise(1.07)},
               {"clip and noise, sigma 5", noise(5)}}};
}

experiment wrong_workers() {
  experiment e{.key = "e-wrong",
               .title = "MD-GAN with two of eight workers that send wrong feedbacks",
               .claim = "robust rules hold where the mean does not",
               .flags =
                   "--data fashion-mnist --model mlp28 --batch 16 --workers 8 "
                   "--iterations 600 --metric-every 200 --strategy md_gan"};
  e.runs.push_back({"mean, nobody wrong", ""});
  const std::pair<attack, const char*> attacks[] = {{attack::sign_flipped, "sign flipped"},
                                                    {attack::times_100, "times 100"},
                                                    {attack::nan, "NaN"},
                                                    {attack::stale, "stale"}};
  for (const auto& [how, text] : attacks) {
    if (how != attack::nan)  // the mean refuses those
      e.runs.push_back({std::string("mean, ") + text, "", how, 2});
    e.runs.push_back({std::string("median, ") + text, "--aggregation median", how, 2});
    e.runs.push_back(
        {std::string("multi-krum, ") + text, "--aggregation multi-krum --wrong-workers 2", how, 2});
  }
  return e;
}

}  // namespace

const std::vector<experiment>& experiments() {
  static const std::vector<experiment> all{md_gan_and_federated("a", "iid"),
                                           md_gan_and_federated("a-dirichlet", "dirichlet:0.3"),
                                           memory(),
                                           ren("b", "fashion-mnist", "mlp28", 300),
                                           ren("b-mnist", "mnist", "mlp28", 300),
                                           ren("b-cifar10", "cifar10", "dcgan32", 40),
                                           stragglers(),
                                           overlap("c", "dcgan32", "32"),
                                           overlap("c-dcgan28", "dcgan28", "32"),
                                           task_groups(),
                                           label_parallel(),
                                           label_start(),
                                           label_scaling(),
                                           filters(),
                                           wrong_workers()};
  return all;
}
