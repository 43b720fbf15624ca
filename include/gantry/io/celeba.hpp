// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// CelebA (Liu, Luo, Wang, Tang, "Deep learning face attributes in the wild", ICCV 2015): the folder
// img_align_celeba of 178 x 218 faces and the table list_attr_celeba.txt of 40 attributes, -1 or 1.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/image_codec.hpp"
#include "gantry/io/image_files.hpp"
#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

namespace detail {

/// Words of a line, apart by blanks (the published table) or commas (Kaggle's copy).
inline std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  constexpr std::string_view between = " \t\r,";
  for (;;) {
    line.remove_prefix(std::min(line.find_first_not_of(between), line.size()));
    if (line.empty()) return words;
    words.push_back(line.substr(0, line.find_first_of(between)));
    line.remove_prefix(words.back().size());
  }
}

/// Takes the next line off a text.
inline std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

/// The table of CelebA, with one of its attributes.
struct celeba_table {
  std::vector<std::string> files;
  std::vector<std::uint16_t> values;  ///< 1 for an image that has the attribute; empty without one
};

/// @throws data_error if the text is no such table, usage_error if it has no such attribute
inline celeba_table parse_celeba(std::string_view text, const std::string& name,
                                 const std::string& attribute) {
  std::string_view first = take_line(text);
  const bool kaggle = first.starts_with("image_id");
  std::vector<std::string_view> attributes = words_of(kaggle ? first : take_line(text));
  if (kaggle) attributes.erase(attributes.begin());
  const auto at = std::ranges::find(attributes, attribute);
  if (!attribute.empty() && at == attributes.end()) {
    std::string known;
    for (const std::string_view a : attributes) known += (known.empty() ? "" : ", ") + printable(a);
    throw usage_error(name + " has no attribute \"" + attribute + "\"; choose one of " + known);
  }
  const auto column = static_cast<std::size_t>(at - attributes.begin());
  celeba_table table;
  for (std::size_t line = kaggle ? 2 : 3; !text.empty(); ++line) {
    const std::vector<std::string_view> words = words_of(take_line(text));
    if (words.empty()) continue;
    const auto is_value = [](std::string_view word) { return word == "1" || word == "-1"; };
    if (words.size() != attributes.size() + 1 ||
        !std::all_of(words.begin() + 1, words.end(), is_value))
      refuse_file(name,
                  "a file name and " + std::to_string(attributes.size()) + " values of 1 or -1",
                  "something else in line " + std::to_string(line), "download the table again");
    if (words.front().find('/') != std::string_view::npos)
      refuse_file(name, "plain file names", printable(words.front()), "download the table again");
    table.files.emplace_back(words.front());
    if (!attribute.empty()) table.values.push_back(words[column + 1] == "1" ? 1 : 0);
  }
  const std::string count = std::to_string(table.files.size());
  const bool announced = kaggle || words_of(first) == std::vector<std::string_view>{count};
  if (table.files.empty() || !announced)
    refuse_file(name, "as many lines of images as its first line says", count + " of them",
                "download the table again");
  return table;
}

}  // namespace detail

/// Where the table of a CelebA folder is, "" for a folder that has none.
inline std::filesystem::path find_celeba_table(const std::filesystem::path& folder) {
  std::error_code unreadable;
  for (const char* name :
       {"list_attr_celeba.txt", "Anno/list_attr_celeba.txt", "list_attr_celeba.csv"})
    if (std::filesystem::exists(folder / name, unreadable)) return folder / name;
  return {};
}

/// Opens the images that the table names, in its order. With an attribute ("Smiling", "Male") there
/// are two classes, 0 for images without it and 1 for images with it; "" gives no labels.
/// @throws data_error for a missing folder or a damaged table, usage_error for another attribute
inline image_files open_celeba(const std::filesystem::path& folder, const std::string& attribute,
                               const image_codecs& codecs) {
  const std::filesystem::path file = find_celeba_table(folder);
  if (file.empty())
    refuse_file(folder.string(), "CelebA's table list_attr_celeba.txt", "none",
                "put it beside the folder img_align_celeba");
  detail::celeba_table table = detail::parse_celeba(read_text(file), file.string(), attribute);
  std::error_code unreadable;
  for (const char* images :
       {"img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba"}) {
    if (!std::filesystem::exists(folder / images / table.files.front(), unreadable)) continue;
    image_files set{folder / images, std::move(table.files), std::move(table.values), {}, codecs};
    if (!attribute.empty()) set.class_names = {"not " + attribute, attribute};
    return set;
  }
  refuse_file(folder.string(), "the folder img_align_celeba with " + printable(table.files.front()),
              "none", "unpack img_align_celeba.zip there");
}

}  // namespace gantry::io
