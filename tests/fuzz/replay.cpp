// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs a harness on each file of the folders in its arguments, cut short and with changed bytes,
// where there is no libFuzzer: what was found once stays found.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using bytes = std::vector<std::uint8_t>;

bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// An exact copy, so that AddressSanitizer sees a read behind its end.
void run(const std::uint8_t* data, std::size_t size) {
  const bytes copy(data, data + size);
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

int run_variants(bytes input) {
  constexpr std::size_t most = 256;
  const std::size_t step = std::max<std::size_t>(1, input.size() / most);
  int count = 1;
  run(input.data(), input.size());
  for (std::size_t i = 0; i < input.size(); i += step, count += 3) {
    run(input.data(), i);
    for (const std::uint8_t change : {0x01, 0xFF}) {
      input[i] ^= change;
      run(input.data(), input.size());
      input[i] ^= change;
    }
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i]))
      if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  int inputs = run_variants(bytes(64));
  for (const auto& path : files) {
    try {
      inputs += run_variants(read(path));
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s was expected to be accepted or refused and ended in: %s\n",
                   path.c_str(), e.what());
      return 1;
    }
  }
  std::printf("%zu files, %d inputs\n", files.size(), inputs);
  return 0;
}
