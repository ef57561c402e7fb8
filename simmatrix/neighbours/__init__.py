"""Each class's nearest neighbours without a C x C matrix: exact from vectors, trees and orders, or found by FAISS."""
