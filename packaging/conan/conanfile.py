# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Conan 2 recipe of a header library: conan create packaging/conan, in the tree it lies in."""
from pathlib import Path

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy


class GantryRecipe(ConanFile):
    name = "gantry"
    version = "0.1.0"
    license = "Apache-2.0"
    description = "Header-only C++20/CUDA framework for training GANs over many workers"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True

    def export_sources(self) -> None:
        tree = Path(self.recipe_folder).parent.parent
        for part in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "kernels/*"):
            copy(self, part, tree, self.export_sources_folder)

    def requirements(self) -> None:
        self.requires("eigen/[>=3.3 <4]", transitive_headers=True)
        self.requires("zlib/[>=1.2.11 <2]", transitive_headers=True, transitive_libs=True)

    def validate(self) -> None:
        check_min_cppstd(self, 20)

    def build(self) -> None:
        """Nothing: headers only."""

    def package(self) -> None:
        for folder in ("include", "kernels"):
            copy(self, "*", Path(self.source_folder) / folder, Path(self.package_folder) / "include")
        copy(self, "LICENSE", self.source_folder, Path(self.package_folder) / "licenses")

    def package_id(self) -> None:
        self.info.clear()

    def package_info(self) -> None:
        self.cpp_info.set_property("cmake_file_name", "Gantry")
        self.cpp_info.set_property("cmake_target_name", "gantry::gantry")
        self.cpp_info.set_property("pkg_config_name", "gantry")
        self.cpp_info.bindirs = self.cpp_info.libdirs = []
        self.cpp_info.requires = ["eigen::eigen", "zlib::zlib"]
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread"]
