"""Warm-up requests, read back by the messages as TensorFlow Serving publishes them."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from kerastune_llm.backend import tf
from kerastune_llm.serving.warmup import FILE_NAME, write_warmup

TEXT, BYTES, MESSAGE = 9, 12, 11
# Field: (number, type, message type), from apis/*.proto of tensorflow/serving.
MESSAGES = {
    "ModelSpec": {"name": (1, TEXT, ""), "signature_name": (3, TEXT, "")},
    "Entry": {"key": (1, TEXT, ""), "value": (2, BYTES, "")},
    "PredictRequest": {
        "model_spec": (1, MESSAGE, "ModelSpec"),
        "inputs": (2, MESSAGE, "Entry"),
    },
    "PredictLog": {"request": (1, MESSAGE, "PredictRequest")},
    "PredictionLog": {"predict_log": (6, MESSAGE, "PredictLog")},
}


def prediction_log_class():
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", package="s")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, type_name) in fields.items():
            message.field.add(
                name=field,
                number=number,
                type=kind,
                label=3 if field == "inputs" else 1,
                type_name=f".s.{type_name}" if type_name else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("s.PredictionLog")
    return message_factory.GetMessageClass(found)


def test_requests_are_prediction_logs(tmp_path):
    long = "word " * 100
    requests = [{"question": ["who?"], "context": ["a\x00é"]}, {"question": [long] * 3}]
    write_warmup(tmp_path, requests, name="squad", signature="serving_default")
    records = list(tf.data.TFRecordDataset(str(tmp_path / FILE_NAME)))
    assert len(records) == 2
    for record, request in zip(records, requests, strict=True):
        log = prediction_log_class().FromString(record.numpy())
        asked = log.predict_log.request
        assert asked.model_spec.name == "squad"
        assert asked.model_spec.signature_name == "serving_default"
        tensors = {
            entry.key: tf.make_ndarray(tensor_pb2.TensorProto.FromString(entry.value))
            for entry in asked.inputs
        }
        texts = {name: [t.decode() for t in tensor] for name, tensor in tensors.items()}
        assert texts == request
