// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>

#include <CLI/CLI.hpp>

#include "gantry/io/sha256.hpp"

#include "checks.hpp"
#include "data_sets.hpp"
#include "device_options.hpp"
#include "options.hpp"
#include "settings.hpp"
#include "transport.hpp"

namespace {

using gantry::usage_error;

/// A preset with an objective of its own is trained with it, and with its source's settings where
/// no flag says otherwise. @throws usage_error
void use_model(const CLI::App& app, const model_info& m, program_options& o) {
  if (!m.objective.empty()) {
    if (app.count("--loss") > 0)
      throw usage_error(
          "--loss was expected with networks that have no objective of their own and "
          "came with " +
          m.name + ", which is trained with " + m.objective + "; leave it out");
    o.loss = m.objective;
  }
  if (!m.has_penalties && app.count("--penalty") > 0)
    throw usage_error(
        "--penalty was expected with networks whose objective has a gradient penalty "
        "and came with " +
        m.name + "; leave it out");
  if (!m.has_settings) return;
  const auto recommend = [&](const char* flag, auto& value, auto recommended) {
    if (app.count(flag) > 0) return;
    value = recommended;
    o.given.push_back({std::string(flag).substr(2), {text_of(recommended)}, "--model " + m.name});
  };
  recommend("--lr-g", o.rate_g, m.settings.rate_g);
  recommend("--lr-d", o.rate_d, m.settings.rate_d);
  recommend("--beta1", o.beta1, m.settings.beta1);
  recommend("--beta2", o.beta2, m.settings.beta2);
  if (o.strategy.is<gantry::dist::standalone>() || o.strategy.is<gantry::dist::label_parallel>())
    recommend("--critic-steps", o.strategy.critic_steps, m.settings.critic_steps);
}

/// Pictures of one's own are seldom grey and of 28 x 28, as the default network makes them.
void choose_model(const std::vector<model_info>& models, program_options& o) {
  const char* colour = "dcgan32";
  if (is_published(o) || std::ranges::find(models, colour, &model_info::name) == models.end())
    return;
  o.model = colour;
  o.given.push_back({"model", {colour}, "--data, the path of images"});
}

/// A flag that is given has to change something. @throws usage_error
void require_effect(const CLI::App& app, const program_options& o) {
  const auto only_with = [&](const char* flag, const char* other, const std::string& needed,
                             const std::string& found) {
    if (app.count(flag) > 0 && found != needed)
      throw usage_error(std::string(flag) + " was expected with " + other + " " + needed +
                        " and came with " + found + "; leave it out or use " + other + " " +
                        needed);
  };
  only_with("--clip", "--loss", "wasserstein", o.loss);
  for (const char* flag : {"--beta1", "--beta2"})
    only_with(flag, "--optimizer", "adam", o.optimizer);
  only_with("--features", "--metrics", "fid", o.metrics);
}

/// Checkpoints are chosen among several, and the best one by a score. @throws usage_error
void require_choice(const CLI::App& app, const program_options& o) {
  if (o.keep_best && o.metrics != "fid")
    throw usage_error("--keep-best was expected with --metrics fid and came with " + o.metrics +
                      "; leave it out or use data and metrics that give a FID");
  for (const char* flag : {"--keep-best", "--keep-checkpoints"})
    if (app.count(flag) > 0 && o.save_every == 0)
      throw usage_error(std::string(flag) +
                        " was expected with --save-every above 0 and came with 0, a checkpoint at "
                        "the end alone; leave it out or give --save-every");
}

/// Samples come from a checkpoint or from the weights of a file. @throws usage_error
void require_origin(const program_options& o) {
  if (o.sample == 0) return;
  if (o.from.empty() && o.init_generator.empty())
    throw usage_error(
        "--sample was expected with --from or --init-generator and came without; "
        "give a checkpoint or a file of weights");
  if (!o.from.empty() && !o.init_generator.empty())
    throw usage_error(
        "--sample was expected with --from or --init-generator and came with both; "
        "leave out one of them");
}

/// Which worker gets which samples. Pairs of networks that know one label each get one label each.
/// @throws usage_error
void resolve_partition(const CLI::App& app, program_options& o) {
  if (o.strategy.is<gantry::dist::label_parallel>()) {
    if (app.count("--partition") == 0) o.partition = "label";
    if (app.count("--workers") == 0 && is_published(o)) o.strategy.workers = chosen_data(o).classes;
  }
  if (app.count("--partition") > 0 && !o.strategy.has_server())
    throw usage_error("--partition was expected with a strategy that has workers and came with " +
                      o.strategy.name + "; leave it out");
  try {
    o.split = gantry::data::parse_partition(o.partition);
  } catch (const usage_error& e) {
    throw usage_error(std::string("--partition: ") + e.what());
  }
}

/// Changes of images in front of the discriminator, none at probability 0. @throws usage_error
void resolve_augmentation(const CLI::App& app, program_options& o) {
  if (o.augment.empty()) {
    if (app.count("--augment-probability") > 0)
      throw usage_error(
          "--augment-probability was expected with --augment and came without; leave it out");
    o.augmentation.probability = 0;
    return;
  }
  try {
    o.augmentation = gantry::augment_images::of(o.augment);
  } catch (const usage_error& e) {
    throw usage_error(std::string("--augment: ") + e.what());
  }
  if (o.augment_probability == "ada") {
    o.augmentation.adaptive = gantry::adaptive_probability{};
    return;
  }
  const auto probability = number_in<float>(o.augment_probability);
  if (!probability || !(*probability > 0 && *probability <= 1))
    throw usage_error(
        "--augment-probability was expected to be ada or a number above 0 and at most 1 and is \"" +
        o.augment_probability + "\"; give for example 0.2");
  o.augmentation.probability = *probability;
}

/// The folders of published sets and of own images. @throws usage_error
void require_folders(const CLI::App& app, const program_options& o) {
  const bool published = is_published(o);
  for (const char* stray : {"--data-cache", "--attribute", "--data-dir"}) {
    if (app.count(stray) == 0 || (stray == std::string_view("--data-dir")) == published) continue;
    throw usage_error(std::string(stray) + " was expected with " +
                      (published ? "the path of your own images in --data"
                                 : "the name of a published set in --data") +
                      " and came with " + o.data + "; leave it out");
  }
}

constexpr std::uint32_t most = 1u << 30;  // of iterations

/// When there are sample grids. @throws usage_error
void resolve_grids(program_options& o) {
  o.grid_by_epoch = o.grid_text == "epoch";
  if (o.grid_by_epoch) return;
  const auto every = number_in<std::uint32_t>(o.grid_text);
  if (!every || *every > most)
    throw usage_error("--grid-every was expected to be epoch or a whole number from 0 to " +
                      std::to_string(most) + " and is \"" + o.grid_text +
                      "\"; give for example --grid-every epoch");
  o.grid_every = *every > 0 ? *every : std::max(1u, o.iterations / 10);
  if (o.metric_every == 0) o.metric_every = o.grid_every;
}

void resolve(const CLI::App& app, program_options& o) {
  resolve_partition(app, o);
  resolve_strategy(app, o.strategy);
  resolve_messages(app, o.messages, o.strategy);
  resolve_augmentation(app, o);
  resolve_health(app, o.health, o.strategy);
  if (!o.launch.empty() && o.transport == "threads")
    throw usage_error(
        "--launch was expected with a --transport between processes and came with "
        "threads; leave it out");
  // The job ends with a process that is killed, so it must not lose more than a part of the run.
  if (o.transport != "threads" && app.count("--save-every") == 0)
    o.save_every = std::max(1u, o.iterations / 10);
  resolve_grids(o);
}

void add_gan_flags(CLI::App& app, program_options& o, const std::vector<std::string>& models) {
  app.option_defaults()->group("Data");
  app.add_option("--data", o.data,
                 "data set: a published one by its name, or the path of your own images, a folder, "
                 ".zip, .tar, .npz or packed file")
      ->check(CLI::Validator([](std::string& text) { return data_complaint(text); },
                             "{" + published_names(",") + "} or PATH"));
  app.add_option("--data-cache", o.data_cache,
                 "where your own images are kept at the size of the networks; empty: the user's "
                 "cache");
  app.add_option("--attribute", o.attribute,
                 "attribute of CelebA's images that becomes their label, such as Smiling");
  app.add_option("--data-dir", o.data_dir,
                 "folder of the published files; fashion-mnist defaults to the Debian package's");
  app.add_option("--partition", o.partition,
                 "which worker gets which samples: " + std::string(gantry::data::partition_forms));

  app.option_defaults()->group("GAN");
  app.add_option("--model", o.model, "networks; of your own images dcgan32 unless it is given")
      ->check(one_of(models));
  app.add_option("--tasks", o.tasks,
                 "in place of --model: several networks at once, with commas between them, each "
                 "over --workers of its own and with a folder of its own in --outdir")
      ->delimiter(',')
      ->check(one_of(models));
  app.add_option("--loss", o.loss, "objective")
      ->check(one_of({"saturating", "non_saturating", "least_squares", "hinge", "wasserstein"}));
  app.add_option("--clip", o.clip, "bound of the weights under --loss wasserstein")
      ->check(positive());
  app.add_option("--penalty", o.penalty, "weight of the model's gradient penalties")
      ->check(positive());
  app.add_option("--augment", o.augment,
                 "changes of real and generated images that the discriminator sees: color, "
                 "translation, cutout, flip, with commas between them");
  app.add_option("--augment-probability", o.augment_probability,
                 "of each change; ada: adapted to how much the discriminator overfits");
  app.add_option("--init-generator", o.init_generator,
                 "start from these weights: a PyTorch state dictionary as safetensors");
  app.add_option("--init-discriminator", o.init_discriminator, "the same for discriminators");
  app.add_option("--optimizer", o.optimizer, "optimizer of both players")
      ->check(one_of({"adam", "rmsprop", "sgd"}));
  app.add_option("--lr-g,--lr_g", o.rate_g, "learning rate of the generator")->check(positive());
  app.add_option("--lr-d,--lr_d", o.rate_d, "learning rate of the discriminators")
      ->check(positive());
  app.add_option("--beta1", o.beta1, "Adam's beta1")->check(from_to(0.0, 0.9999));
  app.add_option("--beta2", o.beta2, "Adam's beta2")->check(from_to(0.0, 0.999999));
  app.add_option("--ema", o.ema,
                 "decay of the generator's average; 0 samples from the generator itself")
      ->check(from_to(0.0, 0.999999));
  app.add_option("--batch,--batchSize", o.batch, "samples per batch and worker")
      ->check(from_to(1, 1 << 16));
  app.add_option("--iterations", o.iterations, "generator updates")->check(from_to(1u, most));
  app.add_option("--seed,--manualSeed", o.seed, "seed of every random number")
      ->check(from_to(std::uint64_t{0}, std::uint64_t{1} << 62));
}

void add_machine_flags(CLI::App& app, program_options& o) {
  std::vector<std::string> transports = transport::names();
  transports.emplace_back("nccl");  // refused where it is not built, with what to do about it
  app.add_option("--transport", o.transport, "what carries messages")->check(one_of(transports));
  app.add_option("--launch", o.launch,
                 "RANK/RANKS or RANK/RANKS/LOCAL_RANK: this process's place in its job; without it "
                 "that of torchrun, Open MPI, PMI or Slurm");
  add_device_flags(app, o);
  app.add_option("--threads", o.threads, "cores to use; 0: all")->check(from_to(0, 4096));
}

void add_output_flags(CLI::App& app, program_options& o) {
  app.option_defaults()->group("Output");
  app.add_option("--outdir", o.outdir, "folder for everything that is written");
  app.add_option("--metrics", o.metrics, "scores while training")->check(one_of({"fid", "none"}));
  app.add_option(
         "--features", o.features,
         "feature network of the scores: lenet, which learns the classes of --data; "
         "untrained; resnet20:FILE, inception:FILE, inception-tf1:FILE with weights of your "
         "own; auto: lenet where there are classes, else untrained")
      ->check(CLI::Validator([](std::string& text) { return features_complaint(text); }, ""));
  app.add_option("--scores", o.scores,
                 "figures of each score, with commas between them: kid and prdc (precision, "
                 "recall, density, coverage) come beside fid and is, which are always there")
      ->delimiter(',')
      ->check(one_of({"fid", "is", "kid", "prdc"}));
  app.add_option("--metric-samples", o.metric_samples, "generated samples per score")
      ->check(from_to(2, 1000000));
  app.add_option("--metric-every", o.metric_every, "iterations between scores; 0: as --grid-every")
      ->check(from_to(0u, most));
  app.add_option("--grid-every", o.grid_text,
                 "iterations between sample grids, 0: a tenth of the run; or epoch: whenever the "
                 "workers have seen as many real samples as their shards hold together");
  app.add_option("--log-every", o.log_every, "iterations per line of stats.jsonl")
      ->check(from_to(1u, most));
  app.add_option("--tensorboard", o.tensorboard,
                 "x axis of the event files for TensorBoard: thousands of real images (kimg) or "
                 "iterations; off: none are written")
      ->check(one_of({"kimg", "iteration", "off"}));
  app.add_option("--save-every", o.save_every,
                 "iterations between checkpoints; 0: only at the end; over MPI a tenth of the run "
                 "if it is not given")
      ->check(from_to(0u, most));
  app.add_option("--keep-checkpoints", o.keep_checkpoints,
                 "so many of the last checkpoints stay, older ones are removed; 0: all")
      ->check(from_to(0u, most));
  app.add_flag("--keep-best", o.keep_best,
               "score each checkpoint; the one of the lowest FID stays, too");
  auto* resume =
      app.add_option("--resume", o.resume, "continue from a checkpoint: its folder, or latest");
  auto* sample = app.add_option("--sample", o.sample,
                                "do not train: draw so many images with the generator of --from "
                                "and this --seed into samples.png in --outdir")
                     ->check(from_to(1, 10000))
                     ->excludes(resume);
  app.add_option("--from", o.from, "checkpoint for --sample: its folder, or the folder of a run")
      ->needs(sample);
  app.add_flag("--npy", o.arrays,
               "with --sample: also write latents.npy and samples.npy, of floats")
      ->needs(sample);
  app.add_flag("--overwrite", o.overwrite,
               "start anew in an --outdir that holds checkpoints; what the earlier run left there "
               "is removed");
  app.add_flag("-n,--dry-run", o.dry_run,
               "print the resolved configuration and what it will cost, then end");
  app.add_flag("--quiet", o.quiet, "no progress");
  add_config_flag(app);
}

/// One sentence for a command line that cannot be read.
std::string explanation(const CLI::ParseError& e) {
  const std::string text = e.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&e))
    return text.substr(0, text.find(':')) + " was expected to come once, with one value";
  return text + "; gantry-train --help describes the flags";
}

}  // namespace

std::optional<program_options> parse_options(int argc, const char* const* argv,
                                             const std::vector<model_info>& models) {
  program_options o;
  std::vector<std::string> names;
  for (const model_info& m : models) names.push_back(m.name);
  if (!names.empty() && std::ranges::find(names, o.model) == names.end()) o.model = names.front();
  CLI::App app{"Trains a generative adversarial network on one or several workers.",
               "gantry-train"};
  app.get_formatter()->column_width(34);
  app.option_defaults()->always_capture_default();
  app.set_version_flag("--version", "gantry-train 0.1.0");
  add_gan_flags(app, o, names);
  add_strategy_flags(app, o.strategy);
  add_message_flags(app, o.messages);
  add_machine_flags(app, o);
  add_output_flags(app, o);
  app.option_defaults()->group("Health");
  add_health_flags(app, o.health);
  try {
    o.given = parse_layers(app, argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) throw usage_error(explanation(e));
    app.exit(e);
    return std::nullopt;
  }
  o.model_given = app.count("--model") > 0;
  if (!o.model_given && !o.tasks.empty()) o.model = o.tasks.front();
  if (!o.model_given && o.tasks.empty()) choose_model(models, o);
  o.configuration_file = config_text(
      app, o.given, {"resume", "revive", "sample", "from", "overwrite", "dry-run", "npy", "tasks"});
  for (const model_info& m : models)
    if (m.name == o.model) {
      use_model(app, m, o);
      resolve_device(m, o);
    }
  require_folders(app, o);
  require_effect(app, o);
  require_origin(o);
  resolve(app, o);
  require_choice(app, o);
  return o;
}

gantry::io::json::object configuration(const program_options& o) {
  gantry::io::json::object c{{"data", o.data},
                             {"model", o.model},
                             {"strategy", o.strategy.name},
                             {"workers", o.strategy.workers},
                             {"batch", o.batch},
                             {"seed", o.seed},
                             {"loss", o.loss},
                             {"optimizer", o.optimizer},
                             {"lr_g", shortest(o.rate_g)},
                             {"lr_d", shortest(o.rate_d)},
                             {"beta1", shortest(o.beta1)},
                             {"beta2", shortest(o.beta2)},
                             {"ema", shortest(o.ema)}};
  if (!o.attribute.empty()) c.set("attribute", o.attribute);
  if (o.strategy.has_server()) c.set("partition", o.partition);
  if (o.precision != "fp32") c.set("precision", o.precision);
  if (o.penalty) c.set("penalty", shortest(*o.penalty));
  if (o.loss == "wasserstein") c.set("clip", shortest(o.clip));
  if (!o.init_generator.empty()) c.set("init_generator", gantry::io::sha256_file(o.init_generator));
  if (!o.init_discriminator.empty())
    c.set("init_discriminator", gantry::io::sha256_file(o.init_discriminator));
  if (!o.augment.empty()) {
    c.set("augment", o.augment);
    c.set("augment_probability", o.augment_probability);
  }
  add_strategy_settings(c, o.strategy);
  add_settings(c, o.messages);
  // Filters work message by message, so there the cut into messages decides the result.
  if (o.messages.filter != "none" && o.strategy.is<gantry::dist::layerwise_overlap>()) {
    c.set("overlap", o.strategy.layerwise.overlap);
    c.set("bucket", o.strategy.layerwise.bucket);
  }
  return c;
}
