// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>

#include <doctest/doctest.h>

#include "gantry/comm/launcher.hpp"

using namespace gantry;
using comm::discover_launch;
using comm::launch;

namespace {

/// An environment of these variables alone.
comm::environment of(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

std::string refusal(std::map<std::string, std::string> variables) {
  try {
    discover_launch(of(std::move(variables)));
  } catch (const usage_error& e) {
    return e.what();
  }
  return "nothing thrown";
}

void check(const launch& l, rank_t rank, rank_t size, rank_t local, const char* source) {
  CHECK(l.rank == rank);
  CHECK(l.size == size);
  CHECK(l.local_rank == local);
  CHECK(l.source == source);
}

}  // namespace

TEST_CASE("launcher: each is found by its variables") {
  check(discover_launch(of({})), 0, 1, 0, "none");
  check(discover_launch(of({{"RANK", "3"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}})), 3, 8, 1,
        "torchrun");
  check(discover_launch(of({{"OMPI_COMM_WORLD_RANK", "2"},
                            {"OMPI_COMM_WORLD_SIZE", "5"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}})),
        2, 5, 0, "Open MPI");
  check(discover_launch(of({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}})), 1, 2,
        1, "PMI");
  check(discover_launch(of({{"SLURM_PROCID", "7"},
                            {"SLURM_NTASKS", "8"},
                            {"SLURM_LOCALID", "3"},
                            {"SLURM_STEP_ID", "0"}})),
        7, 8, 3, "Slurm");
}

TEST_CASE("launcher: a rank without the number of ranks is none, and a batch script is no step") {
  check(discover_launch(of({{"RANK", "3"}})), 0, 1, 0, "none");
  check(discover_launch(of({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}})), 0, 1, 0, "none");
  check(discover_launch(of({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}})), 1, 2, 1, "PMI");
}

TEST_CASE("launcher: a flag comes first, and none may contradict it") {
  const auto with = [](const char* flag, std::map<std::string, std::string> variables) {
    return discover_launch(of(std::move(variables)), comm::parse_launch(flag, "--launch"));
  };
  check(with("2/5", {}), 2, 5, 2, "--launch");
  check(with("2/5/0", {{"RANK", "2"}, {"WORLD_SIZE", "5"}}), 2, 5, 0, "--launch");
  check(with("0/1", {{"SLURM_PROCID", "3"}, {"SLURM_NTASKS", "8"}, {"SLURM_STEP_ID", "0"}}), 0, 1,
        0, "--launch");
  std::string said;
  try {
    with("1/5", {{"RANK", "2"}, {"WORLD_SIZE", "5"}});
  } catch (const usage_error& e) {
    said = e.what();
  }
  CHECK(said.find("rank 1 of 5 (--launch)") != std::string::npos);
  CHECK(said.find("rank 2 of 5 (torchrun)") != std::string::npos);
  for (const char* wrong :
       {"", "2", "2/", "/5", "5/5", "-1/5", "2/5/", "2/5/-1", "2/5/0/1", "a/b", "2/5 "})
    CHECK_THROWS_AS(comm::parse_launch(wrong, "--launch"), usage_error);
}

TEST_CASE("launcher: Slurm counts last") {
  // srun that starts MPI processes sets both, and mpirun inside a step's shell inherits it.
  check(discover_launch(of({{"PMI_RANK", "1"},
                            {"PMI_SIZE", "4"},
                            {"SLURM_PROCID", "1"},
                            {"SLURM_NTASKS", "4"},
                            {"SLURM_STEP_ID", "0"}})),
        1, 4, 1, "PMI");
  check(discover_launch(of({{"OMPI_COMM_WORLD_RANK", "2"},
                            {"OMPI_COMM_WORLD_SIZE", "5"},
                            {"SLURM_PROCID", "0"},
                            {"SLURM_NTASKS", "1"},
                            {"SLURM_STEP_ID", "0"}})),
        2, 5, 2, "Open MPI");
}

TEST_CASE("launcher: disagreement prints both") {
  const std::string text = refusal({{"RANK", "0"},
                                    {"WORLD_SIZE", "4"},
                                    {"OMPI_COMM_WORLD_RANK", "2"},
                                    {"OMPI_COMM_WORLD_SIZE", "5"}});
  CHECK_MESSAGE(text.find("rank 0 of 4 (torchrun)") != std::string::npos, text);
  CHECK_MESSAGE(text.find("rank 2 of 5 (Open MPI)") != std::string::npos, text);
  CHECK_THROWS_AS(comm::require_agreement({2, 5, 2, "torchrun"}, {0, 1, 0, "MPI"}), usage_error);
  CHECK_NOTHROW(comm::require_agreement({2, 5, 2, "torchrun"}, {2, 5, 2, "MPI"}));
  CHECK_NOTHROW(comm::require_agreement({}, {2, 5, 2, "MPI"}));
}

TEST_CASE("launcher: variables that are no ranks are refused by name") {
  CHECK(refusal({{"RANK", "x"}, {"WORLD_SIZE", "4"}}).find("RANK") != std::string::npos);
  CHECK(refusal({{"RANK", "-1"}, {"WORLD_SIZE", "4"}}).find("\"-1\"") != std::string::npos);
  CHECK(refusal({{"RANK", "4"}, {"WORLD_SIZE", "4"}}).find("rank 4 of 4") != std::string::npos);
  CHECK(refusal({{"RANK", ""}, {"WORLD_SIZE", "4"}}).find("\"\"") != std::string::npos);
}
