// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The decoders that this build has: link gantry::images, which says in GANTRY_WITH_PNG and
// GANTRY_WITH_JPEG what was found.
#pragma once

#include "gantry/io/image_codec.hpp"
#if defined(GANTRY_WITH_JPEG)
#include "gantry/io/jpeg_decoder.hpp"
#endif
#if defined(GANTRY_WITH_PNG)
#include "gantry/io/png_decoder.hpp"
#endif

namespace gantry::inline v0::io {

// No `inline`: translation units that were compiled with and without a library may meet.
constexpr image_codecs installed_codecs {
#if defined(GANTRY_WITH_PNG)
  .png = &decode_png,
#endif
#if defined(GANTRY_WITH_JPEG)
  .jpeg = &decode_jpeg,
#endif
};

}  // namespace gantry::io
