# SPDX-FileCopyrightText: The Gantry authors
# SPDX-License-Identifier: Apache-2.0
"""Spack package: spack repo add packaging/spack, then spack dev-build gantry@0.1.0 in the tree."""
from spack.package import *


class Gantry(CMakePackage, CudaPackage):
    """Header-only C++20/CUDA framework for training GANs over many workers."""

    license("Apache-2.0")
    version("0.1.0")

    variant("mpi", default=True, description="For programs with the transport over MPI")
    variant("nccl", default=False, when="+cuda", description="For programs with the transport over NCCL")

    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("eigen@3.3:")
    depends_on("zlib-api")
    depends_on("mpi", when="+mpi")
    depends_on("nccl", when="+nccl")

    conflicts("%gcc@:11", msg="C++20 as Gantry uses it needs GCC 12 or newer")

    def cmake_args(self):
        parts = ("TESTS", "EXAMPLES", "BENCHMARKS")  # headers are all that is installed
        return [self.define(f"GANTRY_BUILD_{part}", False) for part in parts]
