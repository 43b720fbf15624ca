// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <doctest/doctest.h>

#include "gantry/io/base64.hpp"
#include "gantry/io/sha256.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

TEST_CASE("sha256 gives the known answers of FIPS 180-4 and its examples") {
  const auto hash = [](const std::string& text) { return sha256_hex(text_bytes(text)); };
  CHECK(hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hash("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
             "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu") ==
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  CHECK(hash(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256 does not depend on how the bytes are cut") {
  const std::string text(200, 'x');
  for (std::size_t length = 0; length <= text.size(); ++length) {
    sha256 pieces;
    for (std::size_t i = 0; i < length; i += 7) {
      pieces.update(text_bytes(text.substr(i, std::min<std::size_t>(7, length - i))));
      CHECK(pieces.hex() == sha256_hex(text_bytes(text.substr(0, std::min(i + 7, length)))));
    }
  }
}

TEST_CASE("sha256_file reads a file of several chunks and refuses a missing one") {
  const test::scratch_folder folder;
  const std::string text((std::size_t{1} << 20) * 2 + 5, 'g');
  write_file_atomic(folder / "big", text);
  CHECK(sha256_file(folder / "big") == sha256_hex(text_bytes(text)));
  CHECK_THROWS_AS(sha256_file(folder / "none"), data_error);
}

TEST_CASE("base64 gives the answers of RFC 4648") {
  const char* const answers[][2] = {{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"},
                                    {"\xfb\xff\xfe", "+//+"}};
  for (const auto& [text, expected] : answers) CHECK(base64(text_bytes(text)) == expected);
}

}  // namespace
}  // namespace gantry::io
