define void @axpb(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%at0 = alloca ptr
%at1 = alloca ptr
%at2 = alloca ptr
%buffer0 = alloca <8 x double>, align 64
%buffer2 = alloca <8 x double>, align 64
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%arg0m = getelementptr ptr, ptr %args, i64 0
%arg0 = load ptr, ptr %arg0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%arg2m = getelementptr ptr, ptr %args, i64 2
%arg2 = load ptr, ptr %arg2m
br label %units
units:
%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]
%u_more = icmp slt i64 %u, %end
br i1 %u_more, label %unit, label %exit
unit:
%x0 = mul i64 %u, 4096
%behind = sub i64 %n0, %x0
%is_last = icmp slt i64 %behind, 4096
%count = select i1 %is_last, i64 %behind, i64 4096
%b0_0 = getelementptr double, ptr %arg0, i64 %x0
%base0 = getelementptr double, ptr %b0_0, i64 0
store ptr %base0, ptr %at0
%base1 = getelementptr double, ptr %arg1, i64 0
store ptr %base1, ptr %at1
%b2_0 = getelementptr double, ptr %arg2, i64 %x0
%base2 = getelementptr double, ptr %b2_0, i64 0
store ptr %base2, ptr %at2
%v1b = load ptr, ptr %at1
%v1e = load double, ptr %v1b
%v1f = insertelement <8 x double> poison, double %v1e, i32 0
%v1 = shufflevector <8 x double> %v1f, <8 x double> poison, <8 x i32> zeroinitializer
%full = and i64 %count, -8
%wide_end = and i64 %count, -32
%has_wide = icmp ne i64 %wide_end, 0
br i1 %has_wide, label %wide, label %narrow
wide:
%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]
%v5b = load ptr, ptr %at0
%v5p = getelementptr double, ptr %v5b, i64 %i0
%v5 = load <8 x double>, ptr %v5p, align 8
%v8 = fmul <8 x double> %v5, splat (double 0x4004000000000000)
%v9 = fadd <8 x double> %v8, %v1
%i1 = add i64 %i0, 8
%v10b = load ptr, ptr %at0
%v10p = getelementptr double, ptr %v10b, i64 %i1
%v10 = load <8 x double>, ptr %v10p, align 8
%v13 = fmul <8 x double> %v10, splat (double 0x4004000000000000)
%v14 = fadd <8 x double> %v13, %v1
%i2 = add i64 %i0, 16
%v15b = load ptr, ptr %at0
%v15p = getelementptr double, ptr %v15b, i64 %i2
%v15 = load <8 x double>, ptr %v15p, align 8
%v18 = fmul <8 x double> %v15, splat (double 0x4004000000000000)
%v19 = fadd <8 x double> %v18, %v1
%i3 = add i64 %i0, 24
%v20b = load ptr, ptr %at0
%v20p = getelementptr double, ptr %v20b, i64 %i3
%v20 = load <8 x double>, ptr %v20p, align 8
%v23 = fmul <8 x double> %v20, splat (double 0x4004000000000000)
%v24 = fadd <8 x double> %v23, %v1
%o0w0wb = load ptr, ptr %at2
%o0w0wp = getelementptr double, ptr %o0w0wb, i64 %i0
store <8 x double> %v9, ptr %o0w0wp, align 8
%o0w1wb = load ptr, ptr %at2
%o0w1wp = getelementptr double, ptr %o0w1wb, i64 %i1
store <8 x double> %v14, ptr %o0w1wp, align 8
%o0w2wb = load ptr, ptr %at2
%o0w2wp = getelementptr double, ptr %o0w2wb, i64 %i2
store <8 x double> %v19, ptr %o0w2wp, align 8
%o0w3wb = load ptr, ptr %at2
%o0w3wp = getelementptr double, ptr %o0w3wb, i64 %i3
store <8 x double> %v24, ptr %o0w3wp, align 8
%i_wide = add i64 %i0, 32
%is_wide = icmp slt i64 %i_wide, %wide_end
br i1 %is_wide, label %wide, label %narrow
narrow:
%has_narrow = icmp slt i64 %wide_end, %full
br i1 %has_narrow, label %loop, label %rest
loop:
%i = phi i64 [ %wide_end, %narrow ], [ %j, %loop ], [ %full, %tail ]
%v0b = load ptr, ptr %at0
%v0p = getelementptr double, ptr %v0b, i64 %i
%v0 = load <8 x double>, ptr %v0p, align 8
%v3 = fmul <8 x double> %v0, splat (double 0x4004000000000000)
%v4 = fadd <8 x double> %v3, %v1
%o0wb = load ptr, ptr %at2
%o0wp = getelementptr double, ptr %o0wb, i64 %i
store <8 x double> %v4, ptr %o0wp, align 8
%j = add i64 %i, 8
%more = icmp slt i64 %j, %full
br i1 %more, label %loop, label %rest
rest:
%done = phi i64 [ %wide_end, %narrow ], [ %j, %loop ]
%left = sub i64 %count, %done
%is_partly = icmp sgt i64 %left, 0
br i1 %is_partly, label %tail, label %whole
tail:
%back = sub i64 0, %full
store <8 x double> splat (double 0x3FF0000000000000), ptr %buffer0, align 64
%tp0 = getelementptr double, ptr %base0, i64 %full
call void @axpb_copy8(ptr %buffer0, i64 1, ptr %tp0, i64 1, i64 %left)
%tb0 = getelementptr double, ptr %buffer0, i64 %back
store ptr %tb0, ptr %at0
%tb2 = getelementptr double, ptr %buffer2, i64 %back
store ptr %tb2, ptr %at2
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
%rp2 = getelementptr double, ptr %base2, i64 %full
call void @axpb_copy8(ptr %rp2, i64 1, ptr %buffer2, i64 1, i64 %r)
br label %unit_end
unit_end:
%u_next = add i64 %u, 1
br label %units
exit:
ret void
}
define internal void @axpb_copy8(ptr %to, i64 %by, ptr %from, i64 %step, i64 %n) nounwind {
entry:
br label %one
one:
%e = phi i64 [ 0, %entry ], [ %next, %one ]
%f = mul i64 %e, %step
%g = getelementptr i64, ptr %from, i64 %f
%x = load i64, ptr %g
%t = mul i64 %e, %by
%h = getelementptr i64, ptr %to, i64 %t
store i64 %x, ptr %h
%next = add i64 %e, 1
%more = icmp slt i64 %next, %n
br i1 %more, label %one, label %done
done:
ret void
}
