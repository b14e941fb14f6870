"""What people write first: FastAPI around sentence-transformers. Runs in an environment of its own.

python bare_server.py WEIGHTS PORT
"""

import base64
import sys
from typing import Any, Final

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

BATCH: Final = 32


class EmbeddingsBody(BaseModel):
    """OpenAI's request."""

    input: list[str]
    model: str
    encoding_format: str = "float"


def create_app(weights: str) -> FastAPI:
    """Return the application, its model loaded."""
    model = SentenceTransformer(weights, device="cpu")
    app = FastAPI()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/embeddings")
    def embeddings(body: EmbeddingsBody) -> dict[str, Any]:
        # A plain function: FastAPI runs it in its thread pool, so requests do not block the event loop.
        vectors = model.encode(body.input, batch_size=BATCH, normalize_embeddings=True)
        rows = np.asarray(vectors, dtype="<f4")
        if body.encoding_format == "base64":
            encoded: list[Any] = [base64.b64encode(row.tobytes()).decode() for row in rows]
        else:
            encoded = rows.tolist()
        data = [
            {"object": "embedding", "index": index, "embedding": value}
            for index, value in enumerate(encoded)
        ]
        return {"object": "list", "model": body.model, "data": data}

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning"
    )
